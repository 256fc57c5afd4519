"""A node keeps two snapshots and those that are open; what it keeps can be opened without the store."""

import os
import random
import resource
import shutil
import stat
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from support.snapshot_rows import publish_rows, rows

from mcmfh.search import cache
from mcmfh.search.nearest import nearest_hits
from mcmfh.search.opening import is_published, open_snapshot

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
    cache.sweep(tmp_path / "cache", root, partial(is_published, root), grace_s=-1.0)
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


def answers(snapshot) -> list:
    """What a snapshot says of every item, and its nearest items to some codes."""
    shown = [snapshot.shown([snapshot.row(name)]) for name in NAMES if snapshot.row(name) is not None]
    codes = np.random.default_rng(1).integers(0, 256, (8, 2), np.uint8)
    hits = [
        nearest_hits(snapshot, {"image": code}, 20, "report", 16, None, {"modality": ["CT", "MR"]}) for code in codes
    ]
    return [shown, [(hit.rows.tolist(), hit.distances.tolist()) for hit in hits]]


def cached_files(tmp_path) -> list[Path]:
    return sorted(path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.stat().st_size)


def flip(path: Path, at: int, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 1 << bit
    path.write_bytes(data)


def test_flips_made_before_opening_are_not_served(root, tmp_path):
    publish_and_open(root, tmp_path, 1)
    expected = answers(publish_and_open(root, tmp_path, 2))
    rng = np.random.default_rng(7)
    files = cached_files(tmp_path)
    assert len(files) > 10
    for turn in range(3 * len(files)):
        for path in [files[turn % len(files)], *rng.choice(files, 2 if turn % 5 == 0 else 0)]:
            flip(path, int(rng.integers(path.stat().st_size)), int(rng.integers(8)))
        assert answers(open_snapshot(root, cache=str(tmp_path / "cache"))) == expected, files[turn % len(files)]


@pytest.mark.parametrize("spoil", ["truncated", "emptied", "lost", "appended"])
def test_a_file_that_is_not_whole_does_not_prevent_a_start(root, tmp_path, spoil):
    expected = answers(publish_and_open(root, tmp_path, 1))
    for path in cached_files(tmp_path):
        match spoil:
            case "truncated":
                os.truncate(path, path.stat().st_size // 2)
            case "emptied":
                os.truncate(path, 0)
            case "lost":
                path.unlink()
            case "appended":
                with path.open("ab") as file:
                    file.write(b"x")
        assert answers(open_snapshot(root, cache=str(tmp_path / "cache"))) == expected, path


def test_a_process_that_maps_a_replaced_or_changed_file_can_tell(root, tmp_path):
    first = publish_and_open(root, tmp_path, 1)
    assert first.damaged() == []
    shown = next((tmp_path / "cache" / "shards").glob("*.shown.arrow"))
    flip(shown, shown.stat().st_size // 2, 3)
    assert first.damaged() == [shown.name]
    second = open_snapshot(root, cache=str(tmp_path / "cache"))  # fetches it again
    assert second.damaged() == []
    assert first.damaged()  # it maps the old one


@contextmanager
def no_file_larger_than(limit: int):
    """In the block writing fails beyond `limit` bytes of a file, halfway, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("limit", [100, 400, 1000, 2000])
def test_a_full_disk_leaves_no_partial_file_and_prevents_no_later_start(root, tmp_path, limit):
    publish_rows(root, rows(NAMES, seed=1))
    for _ in range(3):
        with no_file_larger_than(limit), pytest.raises(OSError, match="large"):
            open_snapshot(root, cache=str(tmp_path / "cache"))
        left = [path for path in cached_files(tmp_path) if not cache.verified(path) and path.suffix != ".sha256"]
        assert left == []
    assert answers(open_snapshot(root, cache=str(tmp_path / "cache")))


def test_what_a_killed_process_left_is_swept(root, tmp_path):
    publish_and_open(root, tmp_path, 1)
    folder = next(folder for folder in (tmp_path / "cache").iterdir() if cache.completed(folder))
    (folder / "complete").unlink()
    (folder / "arriving").mkdir()
    (folder / "arriving" / "half").write_bytes(b"x" * 1000)
    open_snapshot(root, cache=str(tmp_path / "cache"))
    assert not (folder / "arriving").exists()
    abandoned = tmp_path / "cache" / ("0" * 64)
    shutil.copytree(folder, abandoned)
    (abandoned / "complete").unlink()
    cache.sweep(tmp_path / "cache", root, partial(is_published, root))
    assert abandoned.exists()  # it may be on its way
    cache.sweep(tmp_path / "cache", root, partial(is_published, root), grace_s=-1.0)
    assert not abandoned.exists()


@pytest.mark.parametrize("umask", [0o022, 0o000, 0o077])
def test_the_cache_and_the_store_are_their_owner_s_alone(root, tmp_path, umask):
    before = os.umask(umask)
    try:
        (tmp_path / "cache").mkdir(0o755)  # as an earlier version left it
        publish_and_open(root, tmp_path, 1)
        publish_and_open(root, tmp_path, 2)
    finally:
        os.umask(before)
    created = [*(tmp_path / "a").rglob("*"), *(tmp_path / "cache").rglob("*"), tmp_path / "a", tmp_path / "cache"]
    assert len(created) > 20
    for path in created:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_every_flip_in_a_cache_is_found(root, tmp_path):
    """In 200 random places; only the empty lock files hold nothing to flip."""
    publish_and_open(root, tmp_path, 1)
    home = tmp_path / "cache"
    assert cache.damaged_files(home) == []
    rng = random.Random(0)
    paths = sorted(path for path in home.rglob("*") if path.is_file() and path.stat().st_size)
    for path in rng.choices(paths, k=200):
        whole = path.read_bytes()
        bit = rng.randrange(8 * len(whole))
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        assert cache.damaged_files(home) == [str(path.relative_to(home)).removesuffix(".sha256")]
        path.write_bytes(whole)


@pytest.mark.parametrize("instead", ["folder", "loop", "pipe", "nested"])
def test_what_is_no_file_does_not_prevent_a_start(root, tmp_path, instead):
    expected = answers(publish_and_open(root, tmp_path, 1))
    home = tmp_path / "cache"
    for path in sorted(path for path in home.rglob("*") if path.is_file()):
        path.unlink()
        match instead:
            case "folder":
                (path / "inner").mkdir(parents=True)
            case "loop":
                path.symlink_to(path)
            case "pipe":
                os.mkfifo(path)
            case "nested":
                path.write_text("[" * 100_000)
        assert answers(open_snapshot(root, cache=str(home))) == expected, path


@pytest.mark.parametrize("name", ["shards", "{}", "{}/arriving"])
def test_a_file_in_place_of_a_folder_does_not_prevent_a_start(root, tmp_path, name):
    first = publish_and_open(root, tmp_path, 1)
    expected, place = answers(first), tmp_path / "cache" / name.format(first.digest)
    del first
    shutil.rmtree(place, ignore_errors=True)
    place.write_text("x")
    next((tmp_path / "cache").rglob("live.npy*"), place).write_text("x")
    assert answers(open_snapshot(root, cache=str(tmp_path / "cache"))) == expected


def test_a_sweep_leaves_alone_what_is_not_the_cache_s(root, tmp_path):
    """Files and folders of others, however old, are neither removed nor do they prevent a start."""
    publish_and_open(root, tmp_path, 1)
    home = tmp_path / "cache"
    (home / "notes.txt").write_text("x")
    for folder in ("lost+found", "models", "shards/folder"):
        (home / folder).mkdir()
    for path in home.rglob("*"):
        os.utime(path, (0, 0))
    expected = answers(publish_and_open(root, tmp_path, 2))
    assert {"notes.txt", "lost+found", "models"} < set(os.listdir(home))
    assert answers(open_snapshot(root, cache=str(home))) == expected
    assert cache.damaged_files(home) == ["shards/folder"]


def test_files_of_a_snapshot_that_is_gone_go_at_once_but_those_that_others_name(root, tmp_path):
    """A folder that is being filled needs what the store's snapshots name, and that is on no list yet."""
    publish_and_open(root, tmp_path, 1)
    document = publish_and_open(root, tmp_path, 2).document
    home, kept = tmp_path / "cache", document.shards[0].codes
    cache.sweep(home, root, lambda number, digest: False, needed=lambda: None)
    names = set(os.listdir(home / "shards"))
    assert f"{kept}.safetensors" in names, "without a list of what is needed, what is young stays"
    for turn in (3, 4):
        publish_and_open(root, tmp_path, turn)
    cache.sweep(home, root, lambda number, digest: False, needed=lambda: {kept})
    assert {name.partition(".")[0] for name in os.listdir(home / "shards")} & names_of(document) == {kept}


def names_of(document) -> set[str]:
    return {name.partition(".")[0] for name in document.files()}
