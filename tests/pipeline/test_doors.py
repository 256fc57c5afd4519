"""Every door that trains or scores refuses what would make its figures wrong."""

from dataclasses import replace

import numpy as np
import pytest
from support.embedded import configured, embed, write_manifest
from support.planted import SPEC, planted_table, small

from mcmfh.archive.opened import Archive
from mcmfh.errors import InputError
from mcmfh.evaluation import evaluate, evaluate_reranking
from mcmfh.hashing.preparation import prepare
from mcmfh.pipeline import compare, compare_pretraining, pretrain, train
from mcmfh.pipeline import evaluate as evaluating
from mcmfh.pipeline.archive import read_archive
from mcmfh.pipeline.split import divide

DOORS = {
    "train": lambda config, archive: train.train_archive(config, archive, SPEC),
    "pretrain": pretrain.pretrain_archive,
    "evaluate a model": lambda config, archive: evaluating.evaluate_archive(config, archive, "file:///none", SPEC),
    "evaluate the encoder": evaluating.evaluate_encoder,
    "compare methods": compare.compare_on_archive,
    "compare pretraining": compare_pretraining.compare_pretraining,
}


def asked(door):
    """The settings without which a door is not gone through."""
    return ["evaluate.compare=methods"] if door == "compare methods" else []


def straddling(table):
    """A patient of training who is also asked for."""
    group = table.group.copy()
    group[4] = group[0]
    return replace(table, group=group)


def wrong_split(table):
    """A split that is none of the three."""
    return replace(table, split=np.where(np.arange(len(table)) == 7, "trian", table.split))


def on_validation(table):
    """A patient of validation who is also asked for."""
    group = table.group.copy()
    group[4] = group[3]
    return replace(table, group=group)


@pytest.fixture
def no_encoder(monkeypatch):
    """The stored embeddings are those of `SPEC`, whatever encoder is configured."""
    monkeypatch.setattr(train, "current_spec", lambda config: SPEC)


@pytest.mark.parametrize("fault", [straddling, on_validation, wrong_split])
@pytest.mark.parametrize("door", DOORS)
def test_no_door_takes_a_faulty_manifest(door, fault, tmp_path, no_encoder):
    table = fault(planted_table())
    config = configured(tmp_path, write_manifest(tmp_path, table), *asked(door))
    archive = embed(config, table)
    assert isinstance(archive, Archive)
    with pytest.raises(InputError, match=r"of the manifest: (group|split)"):
        DOORS[door](config, archive)


def test_the_other_manifest_of_a_cross_dataset_comparison_is_checked(tmp_path, no_encoder):
    table = planted_table()
    other = write_manifest(tmp_path, straddling(planted_table(seed=1)), "other")
    config = configured(tmp_path, write_manifest(tmp_path, table), f"evaluate.train_manifest={other}")
    config = config.model_copy(update={"evaluate": config.evaluate.model_copy(update={"compare": "methods"})})
    embed(config, table)
    with pytest.raises(InputError, match="two sides"):
        compare.compare_on_archive(config, read_archive(config.archive))


@pytest.mark.parametrize("fault", [straddling, on_validation])
def test_the_functions_below_refuse_a_faulty_table(fault):
    table = fault(planted_table())
    codes = {name: np.zeros((len(table), 2), np.uint8) for name in ("image", "report")}
    for call in (
        lambda: prepare(table, small("default")),
        lambda: evaluate(codes, table, 16),
        lambda: evaluate_reranking(codes, table, 16),
    ):
        with pytest.raises(InputError, match="stands on two sides of the split"):
            call()


SPELLINGS = {
    "composed and decomposed": ("M\u00fcller", "Mu\u0308ller"),
    "two blanks": ("Ann Lee", "Ann  Lee"),
    "a blank that does not break": ("Ann Lee", "Ann\u00a0Lee"),
}


@pytest.mark.parametrize("column", ["group", "study"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_one_name_in_two_spellings_is_one_patient(spelling, column, tmp_path):
    table = planted_table(40)
    table = replace(table, split=np.full(40, ""))
    names = getattr(table, column).copy().astype("U30")
    names[[0, 1]] = SPELLINGS[spelling]
    table = replace(table, **{column: names})
    config = configured(tmp_path, write_manifest(tmp_path, table))
    split = divide(config, read_archive(config.archive)).split
    assert split.group[split.item_id == "item-0"] == split.group[split.item_id == "item-1"]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_one_name_in_two_spellings_does_not_stand_on_two_sides(spelling, tmp_path, no_encoder):
    table = planted_table()
    group = table.group.copy().astype("U30")
    group[[0, 4]] = SPELLINGS[spelling]
    config = configured(tmp_path, write_manifest(tmp_path, replace(table, group=group)))
    with pytest.raises(InputError, match="group stands on two sides"):
        train.train_archive(config, embed(config, table), SPEC)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_one_label_in_two_spellings_is_one_label(spelling, tmp_path, no_encoder):
    names = tuple(f"find:{each}" for each in SPELLINGS[spelling])
    table = replace(planted_table(), labels=np.eye(2, dtype=bool)[np.arange(240) % 2], label_names=names)
    config = configured(tmp_path, write_manifest(tmp_path, table))
    found = train.embedding_table(config, embed(config, table))[1]
    assert found.label_names == (names[0],)
    assert found.labelled.all()
