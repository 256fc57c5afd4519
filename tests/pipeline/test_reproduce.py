"""A page is made again from its own record, and the two are compared."""

from dataclasses import replace

import numpy as np
import pytest
from support.embedded import configured, embed, write_manifest
from support.planted import SPEC, planted_table

from mcmfh.errors import InputError
from mcmfh.evaluation import read_evaluations, write_report
from mcmfh.evaluation.report import read_provenance
from mcmfh.hashing import load_bundle
from mcmfh.pipeline import train
from mcmfh.pipeline.evaluate import evaluate_archive, evaluate_encoder
from mcmfh.pipeline.reproduce import page_config, reproduce
from mcmfh.store import files


@pytest.fixture(autouse=True)
def spec(monkeypatch):
    monkeypatch.setattr(train, "current_spec", lambda config: SPEC)


def evaluated(folder, table, asked, *more):
    config = configured(folder, write_manifest(folder, table), f"evaluate.compare={asked}", *more)
    archive = embed(config, table)
    if asked == "encoder":
        return config, evaluate_encoder(config, archive)
    model = train.train_archive(config, archive, SPEC)
    return config, evaluate_archive(config, archive, model.bundle, SPEC)


@pytest.mark.parametrize("asked", ["model", "encoder"])
@pytest.mark.parametrize("more", [(), ("evaluate.train_until=2015-01-01",)], ids=["plain", "by date"])
def test_a_page_is_made_again(tmp_path, asked, more):
    table = planted_table(120)
    if more:
        years = np.char.add((2010 + np.arange(120) % 10).astype(str), "-02-03")
        table = replace(table, split=np.full(120, ""), date=years)
    config, found = evaluated(tmp_path, table, asked, *more)
    assert page_config(found.report).evaluate == config.evaluate
    before = {uri for uri, _ in files.walk(config.store)}
    again = reproduce(found.report)
    assert again.equal
    assert "archive, split, encoder, settings, seeds and code are the same" in again.lines
    scores = sum(len(each.scores) for each in found.evaluations)
    assert again.lines[-1] == f"{scores:,} of {scores:,} scores are equal"
    assert {uri for uri, _ in files.walk(config.store)} == before, "nothing is added to the store"
    assert reproduce(files.parent(found.report)).equal


@pytest.mark.parametrize("asked", ["model", "encoder"])
def test_a_figure_that_was_tampered_with_is_named(tmp_path, asked):
    _, found = evaluated(tmp_path, planted_table(120), asked)
    folder = files.parent(found.report)
    made = read_evaluations(folder)
    scores = (replace(made[0].scores[0], value=made[0].scores[0].value + 0.01), *made[0].scores[1:])
    write_report([replace(made[0], scores=scores), *made[1:]], folder, provenance=read_provenance(folder))
    again = reproduce(found.report)
    assert not again.equal
    assert f"{made[0].scores[0].value + 0.01:.6f} then, {made[0].scores[0].value:.6f} now" in "\n".join(again.lines)
    assert reproduce(found.report, tolerance=0.02).equal


def test_what_changed_since_is_named(tmp_path):
    table = planted_table(120)
    config, found = evaluated(tmp_path, table, "encoder")
    labels = table.labels.copy()
    labels[table.split == "test"] = np.roll(labels[table.split == "test"], 1, axis=0)
    write_manifest(tmp_path, replace(table, labels=labels))
    again = reproduce(found.report)
    assert not again.equal
    assert [line.partition(":")[0] for line in again.lines[1:2]] == ["archive"]


def test_more_embedded_items_are_named(tmp_path):
    table = planted_table(120)
    config = configured(tmp_path, write_manifest(tmp_path, table), "evaluate.compare=encoder")
    found = evaluate_encoder(config, embed(config, table, np.arange(100)))
    embed(config, table, np.arange(100, 120))
    assert "embedded: 100 of 120 then, 120 of 120 now" in reproduce(found.report).lines


def test_what_is_no_page_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match="is no page of an evaluation"):
        reproduce(str(tmp_path / "report.html"))


def test_a_card_has_the_line_under_its_table_and_no_address(tmp_path):
    table = planted_table(120)
    small = "train.width=16", "train.expert_hidden=16"
    _, found = evaluated(tmp_path, table, "model", "train.recipe=paper", *small)
    uri = page_config(found.report).hash.bundle
    card = files.read(files.join(uri, "MODEL_CARD.md")).decode()
    line = next(line for line in card.splitlines() if line.startswith("archive "))
    assert "embedded 96 of 96" in line
    assert "train.recipe=paper" in line
    assert "train.experts" not in line, "the recipe says it"
    assert str(tmp_path) not in card
    assert load_bundle(uri).config["training"]["provenance"]["seeds"] == [0]


def test_a_comparison_of_methods_is_made_again(cluster, tmp_path):
    from mcmfh.pipeline.compare import compare_on_archive

    table = planted_table(120)
    config = configured(
        tmp_path, write_manifest(tmp_path, table), "evaluate.compare=methods", "evaluate.rows=[lsh]", "evaluate.seeds=2"
    )
    found = compare_on_archive(config, embed(config, table))
    again = reproduce(found.report)
    assert again.equal
    assert found.provenance.seeds == (0, 1)
    assert "'evaluate.rows=[\"lsh\"]' evaluate.seeds=2" in again.lines[0]
