"""A hospital's own table becomes a manifest: any column names, reports only, images only."""

import pytest
from typer.testing import CliRunner

from mcmfh.archive.columns import manifest_of_table
from mcmfh.archive.manifest import check_manifest, read_manifest
from mcmfh.archive.splits import split_of
from mcmfh.cli import app
from mcmfh.errors import InputError

TABLE = (
    'PatID;Scan;FINDINGS;Ward\n007;a/1.png;"No effusion;\nnothing else";north\n007;a/2.png;;south\n012;;Fracture.;\n'
)


def test_named_columns(tmp_path):
    (tmp_path / "export.csv").write_text(TABLE)
    columns = ["report=FINDINGS", "image_uri=Scan", "group=PatID"]
    options = [word for column in columns for word in ("--column", column)]
    run = CliRunner().invoke(app, ["manifest", str(tmp_path / "export.csv"), str(tmp_path / "m.parquet"), *options])
    assert run.exit_code == 0, run.output
    table = read_manifest(str(tmp_path / "m.parquet"), ["Ward"])
    assert check_manifest(table) == []
    assert table["report"].to_pylist() == ["No effusion;\nnothing else", None, "Fracture."]
    assert table["image_uri"].to_pylist() == [f"file://{tmp_path}/a/1.png", f"file://{tmp_path}/a/2.png", None]
    assert table["group"].to_pylist() == ["007", "007", "012"]
    assert table["split"].to_pylist() == [split_of("007"), split_of("007"), split_of("012")]
    assert table["Ward"].to_pylist() == ["north", "south", None]
    assert len(set(table["item_id"].to_pylist())) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["export.csv", "m.parquet"]


@pytest.mark.parametrize(
    ("columns", "culprit"), [({"report": "NOPE"}, "no column 'NOPE'"), ({"text": "Scan"}, "'text' is no column")]
)
def test_what_is_not_there_is_named(tmp_path, columns, culprit):
    (tmp_path / "export.csv").write_text(TABLE)
    with pytest.raises(InputError, match=culprit):
        manifest_of_table(str(tmp_path / "export.csv"), columns, str(tmp_path / "m.parquet"))
