"""`mcmfh check --leaks` names each test item that training has met, and how."""

import csv

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from mcmfh.cli import app
from mcmfh.embeddings.seen import Seen
from mcmfh.encoders.mcr_towers import bundle as towers
from mcmfh.errors import InputError
from mcmfh.hashing import bundle as models

HEADER = ["item_id", "image_uri", "report", "study_id", "group", "split", "date"]


def rows_of(items=12):
    """Six training items and six test items that share nothing."""
    return [
        {
            "item_id": f"i{i}",
            "image_uri": f"{i}.png",
            "report": f"report {i}",
            "study_id": f"s{i}",
            "group": f"p{i}",
            "split": "train" if i < items // 2 else "test",
            "date": f"{2010 + i}-05-01",
        }
        for i in range(items)
    ]


def write(folder, rows, same_picture=()):
    for i in range(len(rows)):
        grid = np.random.default_rng(i).integers(0, 255, (9, 9)).astype(np.uint8)
        Image.fromarray(grid).resize((90, 90)).save(folder / f"{i}.png")
    for copy, original in same_picture:
        Image.open(folder / f"{original}.png").resize((180, 180)).save(folder / f"{copy}.png")
    with (folder / "manifest.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, HEADER)
        table.writeheader()
        table.writerows(rows)
    return folder / "manifest.csv"


def check(folder, rows, *more, config="", **options):
    manifest = write(folder, rows, **options)
    (folder / "ray_config.yaml").write_text(config)
    run = CliRunner().invoke(app, ["check", str(manifest), "--leaks", *more])
    if run.exception and not isinstance(run.exception, SystemExit):
        raise run.exception
    lines = [line for line in run.stdout.splitlines() if line.startswith("test item")]
    return run.exit_code, lines, run.stdout


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_manifest_without_leaks_passes(tmp_path):
    code, lines, said = check(tmp_path, rows_of())
    assert (code, lines) == (0, [])
    assert "0 of 6 test items leak" in said
    assert "12 of 12 pictures compared" in said
    assert not (tmp_path / "store").exists()  # a check writes nothing


@pytest.mark.parametrize(
    ("column", "what"),
    [("group", "patient"), ("study_id", "study"), ("report", "text")],
    ids=["patient", "study", "text"],
)
def test_each_shared_name_is_a_leak(tmp_path, column, what):
    rows = rows_of()
    rows[8][column] = rows[2][column]
    code, lines, said = check(tmp_path, rows)
    assert code == 1
    assert lines == [f"test item 'i8': its {what} is that of training item 'i2'"]
    assert "1 of 6 test items leak" in said


def test_a_copy_of_a_picture_is_a_leak(tmp_path):
    code, lines, _ = check(tmp_path, rows_of(), same_picture=[(9, 1)])
    assert code == 1
    assert lines == ["test item 'i9': its picture is nearly that of training item 'i1'"]


def test_all_ways_of_one_item_stand_in_one_line(tmp_path):
    rows = rows_of()
    rows[7] |= {"report": "REPORT  0", "study_id": "s3", "group": "p4"}
    _, lines, _ = check(tmp_path, rows, same_picture=[(7, 5)])
    assert lines == [
        "test item 'i7': its patient is that of training item 'i4'; its study is that of training item 'i3'; "
        "its text is that of training item 'i0'; its picture is nearly that of training item 'i5'"
    ]


def test_validation_is_no_training(tmp_path):
    rows = rows_of()
    rows[2]["split"] = "validation"
    rows[8]["report"] = rows[2]["report"]
    assert check(tmp_path, rows)[:2] == (0, [])


@pytest.mark.parametrize("kind", [towers.KIND, models.KIND], ids=["towers", "model"])
def test_whom_towers_and_models_saw(tmp_path, kind):
    seen = Seen.of("archive", ["p7"], ["s10"], ["unknown text"]).to_json()
    uri = kind.seal(str(tmp_path / "trained"), dict.fromkeys(kind.files, b"{}"), {"training": {"seen": seen}})
    code, lines, _ = check(tmp_path, rows_of(), "--trained", uri)
    noun = "towers" if kind is towers.KIND else "model"
    assert code == 1
    assert lines == [f"test item '{item}': the {noun} at '{uri}' saw its patient or study" for item in ("i7", "i10")]


def test_the_towers_behind_a_model_and_those_of_the_configuration_are_asked(tmp_path):
    contents = dict.fromkeys(towers.KIND.files, b"{}")
    seen = Seen.of("archive", ["p11"], [], []).to_json()
    encoder = towers.KIND.seal(str(tmp_path / "towers"), contents, {"training": {"seen": seen}})
    behind = {"encoder": "mcr", "encoder_source": encoder, "training": {}}
    model = models.KIND.seal(str(tmp_path / "models"), dict.fromkeys(models.KIND.files, b"{}"), behind)
    _, lines, said = check(tmp_path, rows_of(), "--trained", model)
    assert lines == [f"test item 'i11': the towers at '{encoder}' saw its patient or study"]
    assert f"whom the model at '{model}' saw was not recorded when it was trained" in said
    _, again, _ = check(tmp_path, rows_of(), config=f"encoder: {{name: mcr, source: '{encoder}'}}")
    assert again == lines


def test_nothing_at_an_address_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match="no bundle at"):
        check(tmp_path, rows_of(), "--trained", str(tmp_path / "nothing"))


def test_the_configured_split_is_the_one_that_is_checked(tmp_path):
    rows = rows_of()
    for row in rows:
        row["split"] = ""
    rows[8]["report"] = rows[2]["report"]
    code, lines, said = check(tmp_path, rows, config="evaluate: {train_until: 2016-01-01}")
    assert "train before 2016-01-01, test from it on" in said
    assert (code, lines) == (0, [])  # i8 was left out
    assert "0 of 5 test items leak" in said


@pytest.mark.parametrize("others", [(0,), (0, 11), (0, 7, 11)], ids=["validation", "in no part", "validation and test"])
def test_a_copy_of_a_copy_is_a_leak(tmp_path, others):
    """Of several equal pictures the first one is compared with each: a training item and a test item are no pair."""
    rows = rows_of()
    rows[0]["split"] = "validation"
    rows[11]["split"] = ""
    code, lines, _ = check(tmp_path, rows, same_picture=[*((copy, 0) for copy in others[1:]), (3, 0), (9, 0)])
    assert code == 1
    assert "test item 'i9': its picture is nearly that of training item 'i3'" in lines
