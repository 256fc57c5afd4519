"""Every door honours the split that the options ask for, or refuses."""

from dataclasses import replace

import numpy as np
import pytest
from support.embedded import configured, embed, write_manifest
from support.planted import SPEC, planted_table

from mcmfh.archive.manifest import read_manifest
from mcmfh.embeddings.seen import Seen
from mcmfh.encoders import EncoderSpec
from mcmfh.encoders.mcr import described
from mcmfh.encoders.mcr_towers.bundle import KIND
from mcmfh.encoders.preprocessing import ImagePreprocessing
from mcmfh.errors import InputError
from mcmfh.hashing import load_bundle
from mcmfh.hashing.card import model_card
from mcmfh.pipeline import evaluate, pretrain, train
from mcmfh.pipeline.archive import read_archive
from mcmfh.pipeline.compare_pretraining import held_out
from mcmfh.pipeline.evaluate import evaluate_archive, evaluate_encoder, evaluate_latest
from mcmfh.pipeline.split import divide
from mcmfh.store import files

UNTIL = "evaluate.train_until=2015-01-01"


def dated(items=120, seed=0, **more):
    """A patient has two items, some of them years apart; the manifest names no split."""
    table = planted_table(items, seed=seed)
    year = 2010 + np.arange(items) % 10
    group = np.char.add("p", (np.arange(items) // 2 * 2 % (items - 6)).astype(str))
    columns = {"date": np.char.add(year.astype(str), "-03-01"), "group": group, "split": np.full(items, "")}
    return replace(table, **{**columns, **more})


@pytest.fixture
def spec(monkeypatch):
    monkeypatch.setattr(train, "current_spec", lambda config: SPEC)


@pytest.fixture
def two(tmp_path, spec):
    """(folder, target table, source table, options that name the source), both embedded."""
    target, source = dated(), dated(160, seed=1)
    source = replace(source, text_key=np.char.add("other ", source.text_key))
    other = write_manifest(tmp_path, source, "other")
    config = configured(tmp_path, other)
    embed(config, source)
    return tmp_path, target, source, [f"evaluate.train_manifest={other}"]


def on_split(folder, table, *more):
    config = configured(folder, write_manifest(folder, table), *more)
    archive = embed(config, table)
    return config, archive, train.embedding_table(config, archive)[1]


def test_both_options_hold_at_once(two):
    folder, target, source, options = two
    _, _, table = on_split(folder, target, *options, UNTIL)
    trained, asked = table.of_split("train", "validation"), table.of_split("test")
    assert set(trained.patient) <= set(np.char.add("not archive/", source.group))
    assert set(asked.patient) <= set(np.char.add("archive/", target.group))
    assert max(trained.date) < "2015-01-01" <= min(asked.date)
    assert len(trained)
    assert len(asked)


@pytest.mark.parametrize("options", [[UNTIL], ["source"], ["source", UNTIL]])
def test_the_encoder_is_scored_on_the_split(two, options):
    folder, target, source, named = two
    given = [each for option in options for each in (named if option == "source" else [option])]
    config, archive, table = on_split(folder, target, *given)
    found = evaluate_encoder(config, archive).evaluations[0]
    score = found.score("mAP@all", "image→report", "seen")
    assert (score.queries, score.items) == ((table.split == "test").sum(), (table.split == "train").sum())


@pytest.mark.parametrize("options", [[], [UNTIL], ["source"], ["source", UNTIL]])
def test_towers_see_who_trains_and_no_one_who_is_asked(two, options):
    folder, target, source, named = two
    given = [each for option in options for each in (named if option == "source" else [option])]
    config, archive, table = on_split(folder, target, *given, "pretrain.size=tiny", "pretrain.vocabulary_size=300")
    problem = pretrain.pose(config, archive)
    assert problem.train.num_rows == (table.split == "train").sum()
    assert problem.validation.num_rows == (table.split == "validation").sum()
    seen, asked = Seen.from_json(problem.seen), table.of_split("test")
    assert not seen.people(asked.archive, asked.patient, asked.study).any()
    assert not seen.texts(asked.text_key).any()
    trained = table.of_split("train")
    assert seen.people(trained.archive, trained.patient, trained.study).all()
    assert problem.split == divide(config, archive).split.line()
    rows = read_manifest(held_out(config, archive).manifest)
    assert sorted(rows["item_id"].to_pylist()) == sorted(asked.item_id)
    assert set(rows["split"].to_pylist()) == {"test"}


def towers(folder, seen, **shape):
    """An encoder of towers that saw these, as far as its config.json says it."""
    contents = dict.fromkeys(KIND.files, b"{}")
    uri = KIND.seal(str(folder / "encoders"), contents, {"towers": shape, "training": {"seen": seen} if seen else {}})
    return EncoderSpec("mcr", "towers", "towers", ImagePreprocessing(), 48, 32, "cpu", source=uri)


@pytest.mark.parametrize("options", [[], [UNTIL]])
def test_towers_that_saw_who_is_asked_are_refused(tmp_path, monkeypatch, options):
    table = dated()
    config = configured(tmp_path, write_manifest(tmp_path, table), *options)
    archive = read_archive(config.archive)
    roles = divide(config, archive).split
    asked = roles.role == "test"
    for whom, refused in ((asked, True), (np.isin(roles.role, ("train", "validation")), False), (None, False)):
        seen = None
        if whom is not None:
            seen = Seen.of("archive", roles.patient[whom], roles.study[whom], roles.text_key[whom]).to_json()
        spec = towers(tmp_path, seen)
        monkeypatch.setattr(train, "current_spec", lambda config, spec=spec: spec)
        embed(config, table, spec=spec)
        if refused:
            with pytest.raises(InputError, match=f"the encoder was trained on the patients of {asked.sum()} of"):
                evaluate_encoder(config, archive)
        else:
            assert evaluate_encoder(config, archive).evaluations


@pytest.mark.parametrize(("tower", "space"), [("packaged", "feature"), ("packaged_pixels", "pixel"), (None, "pixel")])
def test_pages_and_cards_say_in_which_space_towers_were_masked(tmp_path, monkeypatch, tower, space):
    table = dated()
    config = configured(tmp_path, write_manifest(tmp_path, table))
    spec = towers(tmp_path, None, image_tower=tower, patch=32)
    monkeypatch.setattr(train, "current_spec", lambda config: spec)
    archive = embed(config, table, spec=spec)
    assert f"encoder: mcr, masked in {space} space" in files.read(evaluate_encoder(config, archive).report).decode()
    bundle = {"shape": {"settings": {"method": "mcmfh"}, "bits": [16]}, "encoder": "mcr", "encoder_digest": "0" * 64}
    bundle |= {"code_digest": "0", "training": {"encoder": described(spec)}}
    assert f"- Encoder: mcr, masked in {space} space (" in model_card(bundle, {}, {})


@pytest.mark.parametrize("options", [[], [UNTIL]])
def test_a_model_that_saw_who_is_asked_is_refused(tmp_path, spec, options):
    table = dated()
    config, archive, _ = on_split(tmp_path, table, *options)
    model = train.train_archive(config, archive, SPEC)
    assert evaluate_archive(config, archive, model.bundle, SPEC).evaluations
    sides = np.array(["test", "train", "validation"])[np.arange(120) // 2 * 2 % 114 % 3]
    config, archive, _ = on_split(tmp_path, replace(table, split=sides))
    with pytest.raises(InputError, match="was trained on the patients of"):
        evaluate_archive(config, archive, model.bundle, SPEC)


@pytest.mark.parametrize("options", [[UNTIL], ["source"], ["source", UNTIL]])
def test_the_latest_model_is_scored_on_the_split_that_it_was_trained_on(two, options):
    folder, target, _, named = two
    options = [*(named if "source" in options else []), *(each for each in options if each != "source")]
    config, archive, table = on_split(folder, target, *options)
    model = train.train_archive(config, archive, SPEC)
    found = evaluate_latest(config, archive)
    assert found.evaluations == evaluate_archive(config, archive, model.bundle, SPEC).evaluations
    assert found.evaluations[0].score("mAP@all", "image→report", "unseen").queries == (table.split == "test").sum()
    if named[0] not in options:
        config, archive, _ = on_split(folder, target, "evaluate.train_until=2013-01-01")
        with pytest.raises(InputError, match="was trained on the patients of"):
            evaluate_latest(config, archive)


@pytest.mark.parametrize("option", [UNTIL, "source", None])
def test_a_model_that_did_not_record_whom_it_saw_is_scored_on_the_manifests_split_alone(two, option, monkeypatch):
    folder, target, _, named = two
    table = replace(target, split=np.array(["test", "train", "validation"])[np.arange(120) // 2 * 2 % 114 % 3])
    config, archive, _ = on_split(folder, table)
    older = replace(load_bundle(train.train_archive(config, archive, SPEC).bundle))
    del older.config["training"]["seen"]
    monkeypatch.setattr(evaluate, "load_bundle", lambda uri: older)
    if option is None:
        assert evaluate_latest(config, archive).evaluations
        return
    config, archive, _ = on_split(folder, target, *(named if option == "source" else [option]))
    with pytest.raises(InputError, match="was not recorded, so that it cannot be scored on a split by date or dataset"):
        evaluate_latest(config, archive)


def test_a_bundle_and_its_card_say_whom_it_saw(tmp_path, spec):
    config, archive, table = on_split(tmp_path, dated(), UNTIL)
    bundle = load_bundle(train.train_archive(config, archive, SPEC).bundle)
    trained, asked = table.of_split("train", "validation"), table.of_split("test")
    assert bundle.seen.people("archive", trained.patient, trained.study).all()
    assert not bundle.seen.people("archive", asked.patient, asked.study).any()
    assert bundle.config["training"]["split"] == table.split_line
    assert "train before 2015-01-01" in table.split_line


def test_a_training_on_another_split_is_another_training(tmp_path, spec):
    table = dated()
    bundles = set()
    for options in ([], [UNTIL], ["evaluate.train_until=2016-01-01"]):
        config, archive, _ = on_split(tmp_path, table, *options)
        trained = train.train_archive(config, archive, SPEC)
        assert not trained.reused
        bundles.add(trained.bundle)
    assert len(bundles) == 3
