"""`mcmfh snapshots list | diff | gc | rollback` on a store."""

import pytest
from support.snapshot_rows import publish_rows, rows
from typer.testing import CliRunner

from mcmfh.cli import app
from mcmfh.errors import InputError


@pytest.fixture
def run(tmp_path):
    """Publishes three snapshots; runs a subcommand on them and returns what it says."""
    root = f"file://{tmp_path}/archives/archive"
    publish_rows(root, rows(["i1", "i2", "i3"]))
    publish_rows(root, rows(["i2", "i4"], seed=1, version="2"), listed=["i1", "i2", "i4"], known=["i1", "i2", "i3"])
    publish_rows(root, rows(["i1"], seed=2))

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["snapshots", *arguments, f"store={tmp_path}"], catch_exceptions=False)
        assert result.exit_code == 0
        return result.stdout

    return run


def test_diff_counts_what_became_of_the_items(run):
    assert run("diff", "1", "2").strip() == "1 added, 1 removed, 1 changed, 0 rewritten, 1 same"
    assert run("diff", "2", "3").strip() == "0 added, 0 removed, 0 changed, 1 rewritten, 2 same"
    assert run("diff", "3", "1").strip() == "1 added, 1 removed, 1 changed, 1 rewritten, 0 same"
    with pytest.raises(InputError, match="snapshot 9 does not exist"):
        run("diff", "1", "9")


def test_gc_shows_before_it_deletes(run):
    assert "0 objects" in run("gc", "--keep", "1")
    shown = run("gc", "--keep", "1", "--grace-hours", "0")
    assert "would be deleted" in shown
    assert run("gc", "--keep", "1", "--grace-hours", "0") == shown
    assert "000001.json" in shown
    deleted = run("gc", "--keep", "1", "--grace-hours", "0", "--delete")
    assert deleted.splitlines()[:-1] == shown.splitlines()[:-1]
    assert "0 objects" in run("gc", "--keep", "1", "--grace-hours", "0")
    assert run("diff", "3", "3").strip() == "0 added, 0 removed, 0 changed, 0 rewritten, 3 same"


def test_rollback_makes_a_new_number(run):
    assert "snapshot 4 holds what snapshot 1 held" in run("rollback", "1")
    assert run("diff", "1", "4").strip() == "0 added, 0 removed, 0 changed, 0 rewritten, 3 same"
    assert "4" in run("list")
