"""Closed-form training reads concepts and asserted reports, encoded once, and only where it learns without labels."""

from dataclasses import replace

import numpy as np
import pytest
from support.embedded import configured, embed, write_manifest
from support.planted import SPEC, planted_table

from mcmfh.embeddings.concepts import read_concepts
from mcmfh.errors import InputError
from mcmfh.pipeline.concepts import with_concepts
from mcmfh.pipeline.split import divide
from mcmfh.pipeline.train import embedding_table

LIST = "organ\tlung\norgan\tliver\nfinding\tmass\nfinding\tcyst\n"
ENCODER = replace(SPEC, name="packaged")


class Encoder:
    """Text → a vector that its hash determines; keeps what it was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, texts, spec, store, gpus):
        self.asked.append(list(texts))
        rows = [np.random.default_rng(abs(hash(text)) % 2**32).standard_normal(spec.report_width) for text in texts]
        return np.array(rows, np.float32).reshape(-1, spec.report_width)


@pytest.fixture
def archive(tmp_path):
    (tmp_path / "own.tsv").write_text(LIST)
    table = replace(planted_table(60), text_key=np.array([f"case {i}, no mass. Cyst {i}" for i in range(60)]))
    options = "train.method=closed_form", f"train.concepts={tmp_path / 'own.tsv'}"
    config = configured(tmp_path, write_manifest(tmp_path, table), *options)
    opened = embed(config, table, spec=ENCODER)
    return config, divide(config, opened), embedding_table(config, opened, ENCODER)[1]


def test_train_reports_are_encoded_without_what_they_negate(archive):
    config, divided, table = archive
    encoder = Encoder()
    found = with_concepts(config, divided, ENCODER, table, encoder)
    phrases, reports, clauses = encoder.asked
    assert phrases == ["lung", "liver", "mass", "cyst"]
    assert found.concepts.phrases == read_concepts(config.train.concepts)
    train = np.flatnonzero(table.split == "train")
    assert reports == [f"text of case {i}. Cyst {i}" for i in (int(n.rpartition("-")[2]) for n in table.item_id[train])]
    assert (found.asserted.any(1) == (table.split == "train")).all()
    assert clauses == [clause for report in reports for clause in report.split(". ")]
    assert (found.mentions.any(1) == (table.split == "train")).all()
    np.testing.assert_array_equal(found.image, table.image)


def test_without_concepts_nothing_is_encoded(archive):
    config, divided, table = archive
    encoder = Encoder()
    config = config.model_copy(update={"train": config.train.model_copy(update={"concepts": None})})
    assert with_concepts(config, divided, ENCODER, table, encoder) is table
    assert not encoder.asked


def test_an_encoder_without_texts_is_refused(archive):
    config, divided, table = archive
    with pytest.raises(InputError, match=r"precomputed.*train\.concepts: null"):
        with_concepts(config, divided, SPEC, table, Encoder())


@pytest.mark.parametrize(
    ("options", "reads"),
    [
        ({}, True),
        ({"supervised": True}, False),
        ({"method": "itq"}, False),
        ({"method": "mcmfh"}, False),
        ({"method": "mcmfh", "teacher": "concepts"}, True),
    ],
)
def test_only_what_learns_from_concepts_without_labels_reads_them(archive, options, reads):
    assert archive[0].train.model_copy(update=options).reads_concepts == reads


@pytest.mark.parametrize("until", [False, True])
def test_reports_of_the_archive_that_trains_are_read_within_its_own_roots(tmp_path, until):
    """The reports of both archives are files in folders of their own."""
    (tmp_path / "own.tsv").write_text(LIST)
    manifests, tables = {}, {}
    for name, seed in (("target", 1), ("source", 2)):
        folder = tmp_path / name
        folder.mkdir()
        lines = ["item_id,image_uri,report_uri,date"]
        for i in range(40):
            (folder / f"{i}.txt").write_text(f"{name} {i}. Cyst {i}")
            lines.append(f"item-{i},{i}.png,{i}.txt,{2010 if name == 'source' else 2020}")
        manifests[name] = folder / "manifest.csv"
        manifests[name].write_text("\n".join(lines))
        tables[name] = planted_table(40, seed=seed)
    options = [f"train.concepts={tmp_path / 'own.tsv'}", "evaluate.twins_up_to=0"]
    options += ["evaluate.train_until=2015-01-01"] if until else []
    source = configured(tmp_path, manifests["source"], *options)
    embed(source, tables["source"], spec=ENCODER)
    config = configured(tmp_path, manifests["target"], f"evaluate.train_manifest={manifests['source']}", *options)
    opened = embed(config, tables["target"], spec=ENCODER)
    encoder = Encoder()
    with_concepts(config, divide(config, opened), ENCODER, embedding_table(config, opened, ENCODER)[1], encoder)
    reports = encoder.asked[1]
    assert reports
    assert all(report.startswith("source") for report in reports)
