"""A node keeps two snapshots and those that are open; what it keeps can be opened without the store."""

import os
from pathlib import Path

import pytest
from support.snapshot_rows import publish_rows, rows

from mcmfh.search import cache
from mcmfh.search.opening import open_snapshot

NAMES = [f"i{n}" for n in range(1, 30)]


@pytest.fixture
def root(tmp_path):
    return f"file://{tmp_path}/a"


def publish_and_open(root, tmp_path, turn):
    publish_rows(root, rows(NAMES[: 10 + turn], seed=turn, version=str(turn)), known=NAMES[: 9 + turn])
    return open_snapshot(root, cache=str(tmp_path / "cache"))


def kept(tmp_path) -> set[int]:
    return {facts["number"] for folder in (tmp_path / "cache").iterdir() if (facts := cache.completed(folder))}


def test_two_and_the_open_ones_are_kept(root, tmp_path):
    first = publish_and_open(root, tmp_path, 1)
    for turn in (2, 3, 4):
        publish_and_open(root, tmp_path, turn)
    assert kept(tmp_path) == {1, 3, 4}
    assert first.shown([first.row("i7")])[0]["report"] == "report of i7"
    del first
    publish_and_open(root, tmp_path, 5)
    assert kept(tmp_path) == {4, 5}
    cache.sweep(tmp_path / "cache", root, grace_s=-1.0)
    files = {
        name
        for folder in (tmp_path / "cache").iterdir()
        for name in (cache.completed(folder) or {"files": []})["files"]
    }
    assert set(os.listdir(tmp_path / "cache" / "shards")) == files
    Path(tmp_path / "a" / "shards").rename(tmp_path / "away")
    assert open_snapshot(root, cache=str(tmp_path / "cache")).row("i7") is not None


def test_files_of_a_folder_being_filled_are_left_alone(root, tmp_path):
    publish_and_open(root, tmp_path, 1)
    stranger = tmp_path / "cache" / "shards" / "half.arrow"
    stranger.touch()
    publish_and_open(root, tmp_path, 2)
    assert stranger.exists()
