"""`mcmfh store erase`: no byte of a store gives an erased item again, and all that is left of it opens and verifies."""

import os
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from support import chaos_jobs
from support.bulk_job import SPEC, Job
from support.snapshot_rows import publish_rows, rows
from typer.testing import CliRunner

from mcmfh.cli import app
from mcmfh.embeddings import units
from mcmfh.errors import InputError
from mcmfh.search.opening import open_snapshot
from mcmfh.snapshots.document import read_snapshot, snapshot_numbers
from mcmfh.snapshots.erase import erase, items_of
from mcmfh.snapshots.publish import rollback
from mcmfh.snapshots.verify import verify_store
from mcmfh.store import files
from mcmfh.store.layout import archive_root, embeddings_folder, held_out_manifest

ERASED, BROKEN, KEPT = "i00008", "i00001", "i00009"  # of the first three pictures none can be read


@pytest.fixture
def job(new_job) -> Job:
    """Three snapshots: all items, fewer, and the second anew. The archive's files lie outside the store."""
    job: Job = new_job()
    folder = files.join(job.folder, "archive")
    manifest = chaos_jobs.write_archive(folder, 40)
    job.run(manifest)
    listed = [row for row in chaos_jobs.read_rows(manifest) if row["item_id"] not in ("i00020", "i00021")]
    job.run(chaos_jobs.write_manifest(folder, listed, "fewer"))
    rollback(root_of(job), 1)
    return job


def root_of(job: Job) -> str:
    return archive_root(job.store, "archive")


def folder_of(job: Job) -> Path:
    return Path(job.store.removeprefix("file://"))


def readable(path: Path) -> bytes:
    """The bytes of a file and, where its format compresses, of every value in it."""
    data = path.read_bytes()
    if data[:4] == b"PAR1":
        table = pq.read_table(path)
        buffers = [
            buffer for column in table.columns for chunk in column.chunks for buffer in chunk.buffers() if buffer
        ]
        data += b"".join(buffer.to_pybytes() for buffer in buffers) + repr(table.to_pydict()).encode()
    return data


def holding(job: Job, needles: list[bytes]) -> dict[str, list[bytes]]:
    """The files of the store that hold one of `needles`."""
    files_ = (path for path in sorted(folder_of(job).rglob("*")) if path.is_file())
    held = {path: [needle for needle in needles if needle in data] for path in files_ if (data := readable(path))}
    return {str(path): found for path, found in held.items() if found}


def traces(job: Job, item: str) -> list[bytes]:
    """What a store knows of an item: its name, the address of its picture, its report and its vectors."""
    folder, found = embeddings_folder(job.store, SPEC.digest), [item.encode()]
    for unit in units.done_units(folder):
        table = units.read_unit(folder, unit)
        for row in (row for row in table.to_pylist() if row["item_id"] == item):
            found += [row["report"].encode()] if row["report"] else []
        for number, name in enumerate(table["item_id"].to_pylist()):
            for modality in ("image", "report"):
                vector = table[f"{modality}_embedding"][number].values
                if name == item and vector is not None:
                    found.append(vector.to_numpy().tobytes())
    return found


def openable(job: Job, cache: Path, gone: set[str]) -> None:
    """Every snapshot opens, and holds what it held without the erased items."""
    for number in snapshot_numbers(root_of(job)):
        snapshot = open_snapshot(root_of(job), number, str(cache))
        held = {row["item_id"] for row in snapshot.shown(range(len(snapshot.live)))}
        assert not held & gone
        assert KEPT in held
        assert snapshot.live.sum() == snapshot.document.items


def told(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["store", "erase", *arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_no_byte_of_the_store_gives_an_erased_item(job, tmp_path):
    needles = traces(job, ERASED)
    assert len(needles) == 4
    before = {number: read_snapshot(root_of(job), number) for number in snapshot_numbers(root_of(job))}
    assert holding(job, needles)
    assert "rows erased" in told(job.store, "--item", ERASED)
    assert holding(job, needles) == {}
    assert verify_store(job.store).faults == []
    openable(job, tmp_path / "cache", {ERASED})
    for number, document in before.items():
        assert read_snapshot(root_of(job), number).items == document.items - 1
    assert snapshot_numbers(root_of(job)) == [*before, max(before) + 1], "endpoints take over a next snapshot"
    rollback(root_of(job), 1)
    assert holding(job, needles) == {}
    assert told(job.store, "--item", ERASED) == "archive archive holds nothing of it (any more)\n"


def test_what_is_left_needs_no_work_and_keeps_its_codes(job):
    codes, encoded = chaos_jobs.codes(job.store), job.encoded
    told(job.store, "--item", ERASED)
    codes.pop(ERASED)
    assert chaos_jobs.codes(job.store) == codes
    listed = chaos_jobs.read_rows(f"{job.folder}/archive/manifest.csv")
    left = [row for row in listed if row["item_id"] != ERASED]
    job.run(chaos_jobs.write_manifest(f"{job.folder}/archive", left, "without"))
    assert job.encoded == encoded
    assert chaos_jobs.codes(job.store) == codes


@pytest.mark.parametrize("item", [BROKEN, "i00020"], ids=["quarantined", "removed before"])
def test_an_item_that_no_search_shows_is_erased(job, item, tmp_path):
    needles = traces(job, item)
    assert holding(job, needles)
    told(job.store, "--item", item)
    assert holding(job, needles) == {}
    assert verify_store(job.store).faults == []
    openable(job, tmp_path / "cache", {item})


def test_a_patient_is_a_study_an_item_or_what_a_manifest_groups(job, tmp_path):
    root = root_of(job)
    assert items_of(root, ["i00010"]) == {"i00010"}
    manifest = tmp_path / "patients.csv"
    manifest.write_text("item_id,report,group\ni00011,x,P7\ni00012,x,P7\ni00013,x,P8\n")
    told(job.store, "--patient", "P7", "--manifest", str(manifest))
    assert holding(job, [b"i00011", b"i00012"]) == {}
    assert holding(job, [b"i00013"])


def test_studies_are_erased_with_all_their_items_and_an_archive_may_be_left_empty(tmp_path):
    store = str(tmp_path / "store")
    root = archive_root(store, "small")
    publish_rows(root, rows([f"i{n}" for n in range(3, 9)]))
    assert items_of(root, ["s1"]) == {"i3", "i4", "i5"}
    told(store, "--patient", "s1")
    assert set(open_snapshot(root, cache=str(tmp_path / "cache")).items.row(0)["study_id"]) == set("s2")
    told(store, "--patient", "s2")
    assert [read_snapshot(root, number).items for number in snapshot_numbers(root)] == [0, 0, 0]


def test_an_item_of_another_archive_stays(tmp_path):
    store = str(tmp_path / "store")
    for archive in ("one", "two"):
        publish_rows(archive_root(store, archive), rows(["i1", "i2"]))
    said = CliRunner().invoke(app, ["store", "erase", store, "--item", "i1"])
    assert said.exit_code
    assert "2 archives" in str(said.exception)
    told(store, "--item", "i1", "--archive", "one")
    assert items_of(archive_root(store, "one"), ["i1"]) == set()
    assert items_of(archive_root(store, "two"), ["i1"]) == {"i1"}


def test_manifests_of_test_splits_and_leftovers_of_jobs_go(job):
    root = root_of(job)
    table = pq.read_table(next((folder_of(job) / "embeddings").rglob("units/*.parquet")))
    for name in ("a", "b"):
        path = Path(held_out_manifest(job.store, name).removeprefix("file://"))
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table.select(["item_id"]) if name == "a" else table.select(["item_id"])[:0], path)
    some = table["item_id"][5].as_py()
    files.put(files.join(root, "scratch", "run", "parts", "x", "000000"), some.encode())
    files.put(files.join(root, "shards", f"{'0' * 64}.parquet"), some.encode())
    files.put(files.join(embeddings_folder(job.store, SPEC.digest), "plans", "sha256-x.parquet"), some.encode())
    unfinished = files.join(embeddings_folder(job.store, SPEC.digest), "units", "half.parquet")
    files.put(unfinished, next((folder_of(job) / "embeddings").rglob("units/*.parquet")).read_bytes())
    (folder_of(job) / "archives" / f".half.{'0' * 32}").write_text(some)
    told(job.store, "--item", some)
    assert holding(job, [some.encode()]) == {}
    assert not files.exists(held_out_manifest(job.store, "a"))
    assert files.exists(held_out_manifest(job.store, "b"))


class Killed(BaseException):
    pass


def steps(monkeypatch, last: int | None) -> Iterator[int]:
    """Counts what changes the store; the process dies before step `last`."""
    count = 0

    def dying(name: str):
        original = getattr(files, name)

        def call(*arguments):
            nonlocal count
            count += 1
            if count == last:
                raise Killed
            return original(*arguments)

        return call

    for name in ("create", "replace", "delete", "delete_tree"):
        monkeypatch.setattr(files, name, dying(name))
    while True:
        yield count


@pytest.mark.parametrize("kills", [12, pytest.param(1000, marks=pytest.mark.slow)])
def test_an_erasure_that_is_killed_is_finished_by_the_next(new_job, tmp_path, kills, monkeypatch):
    def one(name: str) -> Job:
        made: Job = new_job(name)
        manifest = chaos_jobs.write_archive(files.join(made.folder, "archive"), 24)
        made.run(manifest)
        fewer = chaos_jobs.read_rows(manifest)[4:]
        made.run(chaos_jobs.write_manifest(files.join(made.folder, "archive"), fewer, "fewer"))
        return made

    counted = one("counted")
    needles, codes = traces(counted, ERASED), chaos_jobs.codes(counted.store)
    codes.pop(ERASED)
    with monkeypatch.context() as patched:
        counter = steps(patched, None)
        next(counter)
        list(erase(counted.store, "archive", {ERASED, BROKEN}))
        total = next(counter)
    assert total > 12
    for moment in random.Random(kills).sample(range(1, total + 1), min(kills, total)):
        job = one(f"killed-{moment}")
        with monkeypatch.context() as patched:
            next(steps(patched, moment))
            with pytest.raises(Killed):
                list(erase(job.store, "archive", {ERASED, BROKEN}))
        for number in snapshot_numbers(root_of(job)):
            open_snapshot(root_of(job), number, str(tmp_path / f"cache-{moment}"))
        list(erase(job.store, "archive", {ERASED, BROKEN}))
        assert holding(job, [*needles, BROKEN.encode()]) == {}
        assert verify_store(job.store).faults == []
        assert chaos_jobs.codes(job.store) == codes
        openable(job, tmp_path / f"again-{moment}", {ERASED, BROKEN})


@pytest.mark.parametrize("age", ["new", "old"])
def test_a_node_s_cache_gives_up_what_was_erased(job, tmp_path, monkeypatch, age):
    monkeypatch.setenv("MCMFH_CACHE", str(tmp_path / "cache"))
    snapshot = open_snapshot(root_of(job))
    assert snapshot.row(ERASED) is not None
    del snapshot
    report = re.search(rb"finding \d+", b"".join(traces(job, ERASED)))
    assert report
    if age == "old":
        for path in (tmp_path / "cache" / "shards").iterdir():
            os.utime(path, (0, 0))
    told(job.store, "--item", ERASED)
    for path in (path for path in (tmp_path / "cache").rglob("*") if path.is_file()):
        assert report[0] not in path.read_bytes(), "before anything else opens a snapshot"
    assert open_snapshot(root_of(job), 3).row(ERASED) is None
    for path in (path for path in (tmp_path / "cache").rglob("*") if path.is_file()):
        assert not {needle for needle in (ERASED.encode(), report[0]) if needle in path.read_bytes()}


@pytest.mark.parametrize(
    "pattern",
    ["shards/*.parquet", "shards/*.arrow", "shards/*.safetensors", "tombstones/*", "snapshots/000001.json"],
)
@pytest.mark.parametrize("spoil", ["lost", "damaged", "folder"])
def test_an_archive_that_is_not_whole_is_one_sentence_and_erased_when_it_is_mended(job, pattern, spoil):
    path = next((folder_of(job) / "archives/archive").glob(pattern))
    if pattern == "snapshots/000001.json" and spoil == "lost":
        pytest.skip("a snapshot that is not there needs no erasure")
    whole = path.read_bytes()
    path.unlink()
    match spoil:
        case "damaged":
            path.write_bytes(whole[:-1])
        case "folder":
            path.mkdir()
    result = CliRunner().invoke(app, ["store", "erase", job.store, "--item", ERASED])
    if result.exit_code:  # else the file holds nothing of the item, and nothing was left of it
        assert isinstance(result.exception, InputError), repr(result.exception)
    if path.is_dir():
        path.rmdir()
    if result.exit_code:
        path.write_bytes(whole)
    told(job.store, "--item", ERASED)
    assert holding(job, [ERASED.encode()]) == {}
