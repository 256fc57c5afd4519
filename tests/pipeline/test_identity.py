"""A stored result is named by all that it depends on, and by nothing else."""

from dataclasses import replace

import numpy as np
import pytest
from support.embedded import configured, embed, write_manifest
from support.planted import SPEC, planted_table, small

from mcmfh.errors import InputError
from mcmfh.evaluation import Evaluation, evaluate
from mcmfh.evaluation.evaluate import COLUMNS
from mcmfh.hashing import load_bundle
from mcmfh.hashing.preparation import training_digest
from mcmfh.pipeline import compare_pretraining as compare_pretraining_module
from mcmfh.pipeline.archive import read_archive
from mcmfh.pipeline.compare_pretraining import compare_pretraining, pretrain_and_evaluate
from mcmfh.pipeline.evaluate import evaluate_archive
from mcmfh.pipeline.pretrain import Pretrained, pose
from mcmfh.pipeline.train import train_archive
from mcmfh.store import code_version, files
from mcmfh.store.layout import evaluation_scores


@pytest.fixture
def table():
    return planted_table(120)


def of_side(table, side):
    return table.split == side


def rolled_labels(table, side):
    """The labels of one side dealt out anew: every item has as many as before."""
    labels = table.labels.copy()
    labels[of_side(table, side)] = np.roll(labels[of_side(table, side)], 1, axis=1)
    return replace(table, labels=labels)


def renamed_labels(table, side):
    return replace(table, label_names=tuple(f"other {name}" for name in table.label_names))


def other(column):
    """Replaces a column of strings on one side."""

    def change(table, side):
        values = np.where(of_side(table, side), np.char.add("other ", getattr(table, column)), getattr(table, column))
        return replace(table, **{column: values})

    return change


def joined_studies(table, side):
    rows = np.flatnonzero(of_side(table, side))
    study = table.study.copy()
    study[rows[1]] = study[rows[0]]
    return replace(table, study=study)


def moved(column):
    def change(table, side):
        return replace(table, **{column: getattr(table, column) + of_side(table, side)[:, None].astype(np.float32)})

    return change


CHANGES = {
    "labels": rolled_labels,
    "label names": renamed_labels,
    "studies": joined_studies,
    "groups": other("group"),
    "texts": other("text_key"),
    "dates": other("date"),
    "image": moved("image"),
    "report": moved("report"),
}
READ = {
    ("train", False): {"image", "report", "groups", "label names"},  # names also of validation items
    ("train", True): {"image", "report", "groups", "label names", "labels"},
    ("validation", False): set(CHANGES) - {"dates"},
    ("validation", True): set(CHANGES) - {"dates"},
    ("test", False): {"label names"},
    ("test", True): {"label names"},
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(("side", "supervised"), READ)
def test_a_training_is_named_by_the_columns_that_it_reads(table, side, supervised, change):
    settings = small("supervised" if supervised else "default")
    changed = training_digest(CHANGES[change](table, side), settings) != training_digest(table, settings)
    assert changed == (change in READ[side, supervised])


def test_a_label_that_only_a_test_item_has_names_no_training_anew(table):
    labels = np.column_stack([table.labels, np.arange(len(table)) == 4])
    more = replace(table, labels=labels[:, ::-1], label_names=("rare", *reversed(table.label_names)))
    assert table.split[4] == "test"
    for name in ("default", "supervised"):
        assert training_digest(more, small(name)) == training_digest(table, small(name))


def test_labels_that_the_settings_leave_out_name_no_training_anew(table):
    settings = small("supervised", labels=("topic:1", "topic:2"))
    labels = table.labels.copy()
    labels[:, 5] = ~labels[:, 5]
    assert training_digest(replace(table, labels=labels), settings) == training_digest(table, settings)


@pytest.mark.parametrize("change", CHANGES)
def test_scores_are_named_by_the_columns_that_they_read(table, change):
    changed = CHANGES[change](table, "test")
    columns = "image", "report", *COLUMNS
    assert (changed.digest(*columns) != table.digest(*columns)) == (change != "dates")


def trained(folder, table, *more):
    config = configured(folder, write_manifest(folder, table), *more)
    archive = embed(config, table)
    return config, archive, train_archive(config, archive, SPEC)


def test_changed_labels_are_trained_and_calibrated_anew(table, tmp_path):
    _, _, first = trained(tmp_path, table)
    _, _, again = trained(tmp_path, table)
    assert (first.reused, again.reused, again.bundle) == (False, True, first.bundle)
    rolled = replace(table, labels=np.roll(table.labels, 7, axis=0))
    _, _, changed = trained(tmp_path, rolled)
    assert not changed.reused
    assert load_bundle(changed.bundle).calibration != load_bundle(first.bundle).calibration


@pytest.mark.parametrize("part", [90, 40])
def test_a_page_of_a_part_is_not_served_for_the_whole(table, tmp_path, part):
    config = configured(tmp_path, write_manifest(tmp_path, table))
    archive = embed(config, table, np.arange(part))
    model = train_archive(config, archive, SPEC)
    of_part = evaluate_archive(config, archive, model.bundle, SPEC)
    embed(config, table, np.arange(part, len(table)))
    of_all = evaluate_archive(config, archive, model.bundle, SPEC)
    queries = [each.evaluations[0].scores[0].queries for each in (of_part, of_all)]
    assert queries == [part // 5, len(table) // 5]
    assert of_part.report != of_all.report
    for embedded, evaluated in ((part, of_part), (len(table), of_all)):
        sentence = f"embedded {embedded} of {len(table)} items"
        assert sentence in files.read(evaluated.report).decode()
        assert sentence in files.read_json(evaluation_scores(files.parent(evaluated.report)))["note"]
    assert evaluate_archive(config, archive, model.bundle, SPEC) == of_all


def test_what_was_trained_on_a_part_says_so(table, tmp_path):
    config = configured(tmp_path, write_manifest(tmp_path, table))
    model = train_archive(config, embed(config, table, np.arange(100)), SPEC)
    assert model.embedded == (80, 96)
    card = files.read(files.join(model.bundle, "MODEL_CARD.md")).decode()
    assert "80 of 96 train and validation items" in card
    embed(config, table, np.arange(100, 120))
    whole = train_archive(config, read_archive(config.archive), SPEC)
    assert (whole.reused, whole.embedded) == (False, (96, 96))


def test_another_version_of_the_code_is_another_result(table, tmp_path, monkeypatch):
    _, _, first = trained(tmp_path, table)
    monkeypatch.setattr("mcmfh.pipeline.train.training_code", lambda: "another")
    _, _, again = trained(tmp_path, table)
    assert not again.reused
    assert first.bundle == again.bundle


def test_the_version_of_the_code_covers_the_sources(monkeypatch, tmp_path):
    package = tmp_path / "mcmfh"
    (package / "hashing" / "deeper").mkdir(parents=True)
    (package / "errors.py").write_text("a = 1\n")
    (package / "hashing" / "deeper" / "x.py").write_text("b = 1\n")
    monkeypatch.setattr(code_version, "_PACKAGE", package)
    version = code_version.code_version.__wrapped__
    both = version("errors", "hashing")
    assert both == version("hashing", "errors")
    assert both != version("hashing")
    (package / "hashing" / "deeper" / "x.py").write_text("b = 2\n")
    assert both != version("errors", "hashing")
    assert version("errors") == version("errors")


@pytest.mark.parametrize("change", ["labels", "validation report", "vocabulary", "code"])
def test_a_pretraining_is_named_by_what_it_reads(table, tmp_path, change, monkeypatch):
    words = tmp_path / "vocab.txt"
    words.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "text", "of"]))

    def fingerprint(of):
        more = "pretrain.size=tiny", f"pretrain.vocabulary={words}"
        config = configured(tmp_path, write_manifest(tmp_path, of), *more)
        return pose(config, read_archive(config.archive)).fingerprint

    before = fingerprint(table)
    assert fingerprint(table) == before
    if change == "labels":
        assert fingerprint(rolled_labels(table, "train")) == before
        return
    if change == "validation report":
        table = CHANGES["texts"](table, "validation")
    elif change == "vocabulary":
        words.write_text(words.read_text() + "\nother")
    else:
        monkeypatch.setattr("mcmfh.pipeline.pretrain.pretraining_code", lambda: "another")
    assert fingerprint(table) != before


@pytest.mark.parametrize("change", ["labels", "studies", "groups"])
def test_a_comparison_of_pretrainings_is_measured_anew_when_a_column_changes(table, tmp_path, change, monkeypatch):
    monkeypatch.setattr(compare_pretraining_module, "_dual_cost", lambda settings: {"dual_over_masked": 2.0})
    measured = []

    def measure(config, archive, name, settings, seed):
        measured.append(name)
        vectors = {"image": table.image[:, :8], "report": table.report[:, :8]}
        evaluation = evaluate(vectors, table, None, method=f"{name}, 1 epochs", resamples=2)
        return {"evaluation": evaluation.to_json(), "seconds": 1.0, "embedded": "embedded 24 of 24 items"}

    def compare(of):
        more = "pretrain.size=tiny", "pretrain.image_size=32", "evaluate.seeds=1", "evaluate.rows=['masked-only, map']"
        config = configured(tmp_path, write_manifest(tmp_path, of), *more, "pretrain.batch_size=16")
        compare_pretraining(config, read_archive(config.archive), measure=measure)
        return len(measured)

    assert [compare(table), compare(table)] == [1, 1]
    assert compare(CHANGES[change](table, "test")) == 2


@pytest.fixture
def pretrainings(tmp_path, monkeypatch):
    """Compares one row of pretrainings with the given options; returns how often rows were measured until then."""
    monkeypatch.setattr(compare_pretraining_module, "_dual_cost", lambda settings: {"dual_over_masked": 2.0})
    measured = []

    def compare(of, *more):
        def measure(config, archive, name, settings, seed):
            measured.append(name)
            vectors = {"image": of.image[:, :8], "report": of.report[:, :8]}
            evaluation = evaluate(vectors, of, None, method=f"{name}, 1 epochs", resamples=2)
            return {"evaluation": evaluation.to_json(), "seconds": 1.0, "embedded": "embedded 24 of 24 items"}

        given = "pretrain.size=tiny", "pretrain.image_size=32", "pretrain.batch_size=16", "evaluate.seeds=1"
        rows = () if any("rows" in each for each in more) else ("evaluate.rows=['masked-only, map']",)
        config = configured(tmp_path, write_manifest(tmp_path, of), *given, *rows, *more)
        compare_pretraining(config, read_archive(config.archive), measure=measure)
        return len(measured)

    return compare


@pytest.mark.parametrize("families", ["[topic]", "[]"])
def test_pretrainings_are_measured_anew_for_other_label_families(table, pretrainings, families):
    assert [pretrainings(table), pretrainings(table)] == [1, 1]
    assert pretrainings(table, f"evaluate.families={families}") == 2


@pytest.mark.parametrize(
    ("change", "again"), [("texts", True), ("groups", True), ("studies", True), ("labels", False), ("dates", False)]
)
def test_pretrainings_on_another_archive_are_named_by_what_they_read_of_it(
    table, tmp_path, pretrainings, change, again
):
    other = replace(planted_table(160, seed=1), text_key=np.array([f"other text {i}" for i in range(160)]))
    source = write_manifest(tmp_path, other, "other")
    options = f"evaluate.train_manifest={source}"
    assert [pretrainings(table, options), pretrainings(table, options)] == [1, 1]
    dated = {"dates": lambda table, side: replace(table, date=np.full(len(table), "2015-01-01"))}
    write_manifest(tmp_path, (CHANGES | dated)[change](other, "train"), "other")
    assert pretrainings(table, options) == 1 + again


def test_a_row_of_pretraining_that_is_not_there_is_named(table, pretrainings):
    with pytest.raises(InputError, match=r"no row begins with 'mcr'; this comparison has masked-only, map first"):
        pretrainings(table, "evaluate.rows=[mcr]")


@pytest.mark.parametrize("families", [("topic",), ("side", "topic")])
def test_a_pretraining_is_scored_by_the_label_families_that_are_asked_for(table, tmp_path, monkeypatch, families):
    names = tuple(f"{'side' if i < 2 else 'topic'}:{i}" for i in range(table.labels.shape[1]))
    asked = replace(table, label_names=names).of_split("test")
    asked = replace(asked, report=np.pad(asked.report, ((0, 0), (0, 16))))
    done = Pretrained("towers", {}, 1.0, False)
    for name, value in {"pretrain_archive": done, "embed_archive": None, "embedding_table": (SPEC, asked)}.items():
        monkeypatch.setattr(compare_pretraining_module, name, lambda *_, value=value: value)
    config = configured(tmp_path, write_manifest(tmp_path, table), f"evaluate.families=[{','.join(families)}]")
    found = pretrain_and_evaluate(config, read_archive(config.archive), "row", config.pretrain, 0)
    measures = {score.measure for score in Evaluation.from_json(found["evaluation"]).scores}
    assert {name for name in ("side", "topic") if f"mAP@all {name}" in measures} == {*families}
