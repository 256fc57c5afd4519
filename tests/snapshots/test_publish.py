"""Publishing: what is new is added, what is gone is removed, racing jobs lose nothing."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from support.snapshot_rows import MODEL, publish_rows, rows

from mcmfh.errors import InputError
from mcmfh.snapshots import shards
from mcmfh.snapshots.document import newest_snapshot, read_snapshot
from mcmfh.snapshots.publish import base, live_items, rollback
from mcmfh.store import files


@pytest.fixture
def root(tmp_path):
    return f"file://{tmp_path}"


def ids(root, document):
    return sorted(fingerprints(root, document))


def fingerprints(root, document):
    found = [pair for part in live_items(root, document) for pair in zip(*(c.to_pylist() for c in part.columns))]
    assert len(dict(found)) == len(found), "an item stands once"
    return dict(found)


def test_first_snapshot_holds_every_row(root):
    number, document = publish_rows(root, rows(["i1", "i2", "i3"]))
    assert (number, document.items, document.parent) == (1, 3, None)
    assert ids(root, document) == ["i1", "i2", "i3"]
    assert fingerprints(root, document) == {"i1": "i1-1", "i2": "i2-1", "i3": "i3-1"}


def test_the_same_rows_again_change_nothing(root):
    publish_rows(root, rows(["i1", "i2"]))
    assert publish_rows(root, rows(["i1", "i2"]))[0] == 1


def test_new_changed_and_removed_items(root):
    publish_rows(root, rows(["i1", "i2", "i3"]))
    changed = rows(["i2", "i4"], seed=1, version="2")
    number, document = publish_rows(root, changed, listed=["i1", "i2", "i4"], known=["i1", "i2", "i3"])
    assert (number, document.parent) == (2, 1)
    assert fingerprints(root, document) == {"i1": "i1-1", "i2": "i2-2", "i4": "i4-2"}
    assert (document.rows, document.items) == (5, 3)
    assert ids(root, read_snapshot(root, 1)) == ["i1", "i2", "i3"], "the old snapshot is untouched"


def test_a_racing_jobs_items_are_not_removed(root):
    publish_rows(root, rows(["i1", "i2"]), known=[])
    # Both began on snapshot 1; neither lists the other's new item.
    publish_rows(root, rows(["i3"], seed=3), listed=["i1", "i2", "i3"], known=["i1", "i2"])
    _, document = publish_rows(root, rows(["i4"], seed=4), listed=["i1", "i2", "i4"], known=["i1", "i2"])
    assert ids(root, document) == ["i1", "i2", "i3", "i4"]


def test_many_racing_jobs_all_end_up_in_the_last_snapshot(root):
    publish_rows(root, rows(["i1"]))
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda n: publish_rows(root, rows([f"i{n}", "i1"], seed=n), known=["i1"]), range(10, 22)))
    number, document = newest_snapshot(root)
    assert number == 13
    assert ids(root, document) == sorted(["i1", *(f"i{n}" for n in range(10, 22))]), "i1 stands once"


def test_another_model_needs_leave(root):
    publish_rows(root, rows(["i1", "i2"]))
    with pytest.raises(InputError, match="replace_model"):
        base(root, "d" * 64, False)
    assert base(root, "d" * 64, True) is None
    _, document = publish_rows(root, rows(["i1", "i2"], seed=9), model=replace(MODEL, code_digest="d" * 64))
    assert (document.rows, document.parent) == (2, 1), "codes of two models never stand in one snapshot"


def test_rollback_is_a_new_number_with_the_old_list(root):
    publish_rows(root, rows(["i1", "i2"]))
    publish_rows(root, rows(["i3"], seed=1))
    assert rollback(root, 1) == 3
    _, document = newest_snapshot(root)
    assert ids(root, document) == ["i1", "i2"]
    with pytest.raises(InputError, match="7"):
        rollback(root, 7)


def test_a_tampered_shard_is_noticed(root):
    _, document = publish_rows(root, rows(["i1", "i2"]))
    uri = files.join(root, "shards", document.shards[0].items + ".arrow")
    data = files.read(uri)
    files.delete(uri)
    files.create(uri, data[:-1] + b"x")
    with pytest.raises(ValueError, match="promises"):
        shards.read_verified(root, "shards", document.shards[0].items, "arrow")
