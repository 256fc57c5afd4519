"""`mcmfh store verify | copy | relocate`: damage is found wherever it is, a copy opens, an old store is rewritten."""

import json
import random
import shutil
import threading
from pathlib import Path

import pytest
from support import chaos_jobs
from support.bulk_job import Job
from support.snapshot_rows import publish_rows, rows
from typer.testing import CliRunner

from mcmfh.cli import app
from mcmfh.errors import InputError
from mcmfh.search.opening import open_snapshot
from mcmfh.snapshots.document import read_snapshot, snapshot_numbers
from mcmfh.snapshots.relocate import relocate_store
from mcmfh.snapshots.shards import read_shown_as_stored
from mcmfh.snapshots.verify import copy_verified, verify_store
from mcmfh.store import files
from mcmfh.store.layout import archive_root


@pytest.fixture
def store(new_job) -> Path:
    """A store with a bundle, embeddings, markers, quarantine and two snapshots; its archive lies below it."""
    job: Job = new_job()
    folder = files.join(job.store, "phantom-40")
    manifest = chaos_jobs.write_archive(folder, 40)
    job.run(manifest)
    job.run(chaos_jobs.write_manifest(folder, chaos_jobs.read_rows(manifest)[4:], "fewer"))
    store = Path(job.store.removeprefix("file://"))
    shutil.copytree(job.bundle.removeprefix("file://"), store / "bundles" / job.bundle.rpartition("/")[2])
    return store


def flip(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    bit = rng.randrange(8 * len(data))
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def all_files(store: Path) -> list[Path]:
    return sorted(path for path in store.rglob("*") if path.is_file() and path.stat().st_size)


def test_a_sound_store_has_no_faults_and_a_second_look_records_nothing(store):
    first, second = verify_store(str(store)), verify_store(str(store))
    assert (first.faults, second.faults, second.recorded) == ([], [], [])
    assert first.files == len(all_files(store)) - (1 if first.recorded else 0)


def test_every_flipped_bit_is_found(store):
    """In 200 random places, one at a time, and every file that is damaged by them together."""
    assert not verify_store(str(store)).faults
    rng, paths = random.Random(0), all_files(store)
    whole = {path: path.read_bytes() for path in paths}
    for _ in range(4):
        damaged = rng.choices(paths, k=50)
        for path in damaged:
            flip(path, rng)
        found = {fault.name for fault in verify_store(str(store)).faults}
        assert {str(path.relative_to(store)) for path in damaged} <= found
        for path in damaged:
            path.write_bytes(whole[path])
    assert not verify_store(str(store)).faults


def test_every_kind_of_file_is_compared_without_a_list(store):
    """Whatever a job wrote verifies itself or is on the list since it was written; the archive's own files are not."""
    rng = random.Random(1)
    for path in all_files(store):
        whole = path.read_bytes()
        flip(path, rng)
        name = str(path.relative_to(store))
        found = {fault.name for fault in verify_store(str(store), record=False).faults}
        assert name in found or name.startswith("phantom-"), name
        path.write_bytes(whole)


@pytest.mark.parametrize("change", ["cut", "emptied", "removed"])
def test_what_a_snapshot_needs_is_missed(store, change):
    verify_store(str(store))
    root = Path(archive_root(str(store), "archive").removeprefix("file://"))
    for path in [*root.glob("shards/*"), *root.glob("tombstones/*"), *root.glob("quarantine/*")]:
        whole = path.read_bytes()
        path.unlink()
        if change != "removed":
            path.write_bytes(whole[: len(whole) // 2 if change == "cut" else 0])
        (fault,) = verify_store(str(store)).faults
        assert fault.name == str(path.relative_to(store))
        assert "restore it from a copy" in fault.remedy
        path.write_bytes(whole)


def test_the_command_names_damage_and_remedy(store):
    (bundle,) = store.glob("bundles/*/model.safetensors")
    flip(bundle, random.Random(2))
    result = CliRunner().invoke(app, ["store", "verify", str(store)])
    assert result.exit_code == 1
    assert f"{bundle.relative_to(store)} is damaged: restore it from a copy, or train again" in result.stdout
    assert "1 damaged or missing" in result.stdout


def test_a_copy_verifies_is_resumed_and_overwrites_nothing(store, tmp_path):
    target = tmp_path / "copy"
    copied = copy_verified(str(store), str(target))
    assert copied.count("copied") == len(copied.outcomes) > 10
    verified = verify_store(str(target))
    assert (verified.faults, verified.recorded) == ([], [])
    assert chaos_jobs.codes(str(target)) == chaos_jobs.codes(str(store))
    lost = [*target.rglob("*.arrow"), *target.rglob("000002.json")]
    for path in lost:
        path.unlink()
    assert copy_verified(str(store), str(target)).count("copied") == len(lost)
    other = next(target.glob("embeddings/*/done/*"))
    other.write_bytes(b"{}")
    again = copy_verified(str(store), str(target))
    assert again.names("conflict") == [str(other.relative_to(target))]
    assert other.read_bytes() == b"{}"


def test_what_is_damaged_is_not_copied(store, tmp_path):
    rng = random.Random(3)
    damaged = [next(store.rglob("*.arrow")), next(store.glob("embeddings/*/units/*")), next(store.rglob("000001.json"))]
    for path in damaged:
        flip(path, rng)
    result = CliRunner().invoke(app, ["store", "copy", str(store), str(tmp_path / "copy")])
    assert result.exit_code == 1
    for path in damaged:
        assert f"{path.relative_to(store)} is damaged in SOURCE" in result.stdout
        assert not (tmp_path / "copy" / path.relative_to(store)).exists()


@pytest.mark.parametrize("pattern", ["*.arrow", "*.safetensors", "snapshots/*", "units/*"])
def test_a_copy_that_was_damaged_since_is_told(store, tmp_path, pattern):
    """Also where the file has the size that its name and the source promise."""
    target = tmp_path / "copy"
    copy_verified(str(store), str(target))
    damaged = next(target.rglob(pattern))
    whole = damaged.read_bytes()
    flip(damaged, random.Random(5))
    result = CliRunner().invoke(app, ["store", "copy", str(store), str(target)])
    assert result.exit_code == 1
    assert str(damaged.relative_to(target)) in result.stdout
    damaged.unlink()
    assert CliRunner().invoke(app, ["store", "copy", str(store), str(target)]).exit_code == 0
    assert damaged.read_bytes() == whole


def test_a_store_is_not_copied_into_itself(store):
    for target in (store, store / "backup", store.parent):
        with pytest.raises(InputError, match="not copied into itself"):
            copy_verified(str(store), str(target))
    with pytest.raises(InputError, match="holds no store"):
        copy_verified(str(store / "nothing"), str(store.parent.parent / "other"))


def test_a_store_is_copied_while_a_job_publishes_into_it(tmp_path):
    store, done = tmp_path / "store", threading.Event()
    root = archive_root(str(store), "archive")
    publish_rows(root, rows(["i1"]))

    def publish() -> None:
        number = 2
        while not done.is_set():
            publish_rows(root, rows([f"i{number}"]))
            number += 1

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        for number in range(5):
            target = tmp_path / f"copy-{number}"
            assert not copy_verified(str(store), str(target)).names("damaged")
            newest = max(snapshot_numbers(archive_root(str(target), "archive")))
            faults = [fault for fault in verify_store(str(target)).faults if not fault.name.startswith("bundles/")]
            assert not faults
            copied = open_snapshot(archive_root(str(target), "archive"), cache=str(tmp_path / f"cache-{number}"))
            assert (copied.number, len(copied.document.shards)) == (newest, newest)
            assert all(copied.row(f"i{item}") is not None for item in range(1, newest + 1))
    finally:
        done.set()
        thread.join()


def test_an_old_store_is_rewritten_once(tmp_path):
    """As older versions wrote it: everything named absolutely, at the place where the store once was."""
    here, gone = f"file://{tmp_path}/here", "s3://gone/store"
    root = archive_root(here, "archive")
    table = rows(["i1", "i2", "i3", "i4"])
    uris = [f"{gone}/images/1.png", "s3://images/2.png", None, "s3://elsewhere/4.png"]
    place = table.column_names.index("image_uri")
    publish_rows(root, table.set_column(place, "image_uri", [uris]))
    path = tmp_path / "here" / "archives" / "archive" / "snapshots" / "000001.json"
    document = json.loads(path.read_text())
    document.pop("digest")
    document["bundle"] = f"{gone}/bundles/{'b' * 64}"
    path.unlink()
    path.write_bytes(files.canonical_json(document))
    files.create(f"{here}/bundles/{'b' * 64}/config.json", b"{}")

    moved = ["--moved", f"s3://images={here}/moved"]
    said = CliRunner().invoke(app, ["store", "relocate", here, *moved], catch_exceptions=False).stdout
    assert said == "archive archive: snapshot 2 published, 2 addresses rewritten\n"
    new, (old_shard,) = read_snapshot(root, 2), read_snapshot(root, 1).shards
    assert (new.bundle, new.parent) == (f"bundles/{'b' * 64}", 1)
    (shard,) = new.shards
    assert (shard.codes, shard.items) == (old_shard.codes, old_shard.items)
    by_item = dict(zip(table["item_id"].to_pylist(), uris))
    now = read_shown_as_stored(root, shard, ["image_uri"])["image_uri"].to_pylist()
    assert dict(zip(by_item, now)) == {
        **by_item,
        **{
            item: {uris[0]: "images/1.png", uris[1]: "moved/2.png"}[uri]
            for item, uri in by_item.items()
            if uri in uris[:2]
        },
    }
    assert [done.published for done in relocate_store(here)] == [False]
    assert files.canonical_json(read_snapshot(root, 1).to_json()) == path.read_bytes()
