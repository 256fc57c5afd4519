"""A snapshot of a mended parser takes the texts of the earlier one out of the store and out of a node's cache."""

import pytest
from support import chaos_jobs
from support.bulk_job import SPEC, Job
from support.unit_steps import another_version

from mcmfh.embeddings.earlier import describe
from mcmfh.search import cache
from mcmfh.search.opening import open_snapshot
from mcmfh.snapshots.document import read_snapshot, snapshot_numbers
from mcmfh.snapshots.shards import SUFFIXES
from mcmfh.store import files, layout

ITEMS = 40


@pytest.fixture
def manifest(tmp_path) -> str:
    return chaos_jobs.write_archive(f"file://{tmp_path}/archive", ITEMS)


def hashed_by(job: Job, spec, manifest: str, *more: str):
    """Hash `manifest` as the version of this software does whose encoder is `spec`."""
    version = Job(job.folder, chaos_jobs.save_model(job.folder, spec=spec), spec)
    return version.run(manifest, "hash.replace_model=true", *more)


def texts_of(root: str) -> set[str]:
    folder = files.join(root, layout.SHARDS)
    return {name for name in files.names(folder) if name.endswith(SUFFIXES["shown"])}


OLD = another_version(SPEC, report_policy="report-1")


def test_old_texts_leave_snapshots_and_caches(new_job, manifest, tmp_path):
    job = new_job()
    describe(job.store, OLD)
    old = hashed_by(job, OLD, manifest)
    fewer = chaos_jobs.write_manifest(files.parent(manifest), chaos_jobs.read_rows(manifest)[:30], "fewer")
    hashed_by(job, OLD, fewer)
    assert snapshot_numbers(old.root) == [1, 2]
    cached = str(tmp_path / "cache")
    served = open_snapshot(old.root, 2, cached)
    new = hashed_by(job, SPEC, manifest)
    assert (new.retired, snapshot_numbers(old.root)) == ((1, 2), [3])
    assert texts_of(old.root) == {f"{shard.shown}.parquet" for shard in new.document.shards}
    newer = open_snapshot(old.root, 3, cached)
    assert [item["item_id"] for item in served.shown([0])], "a replica still answers from its cache"
    del served
    assert newer.damaged() == []
    folders = [folder for folder in (tmp_path / "cache").iterdir() if folder.name != "shards"]
    assert [cache.completed(folder)["number"] for folder in folders] == [3]
    assert hashed_by(job, SPEC, manifest).retired == ()


def test_a_removal_that_was_interrupted_is_done_again(new_job, manifest, monkeypatch):
    job = new_job()
    describe(job.store, OLD)
    old = hashed_by(job, OLD, manifest)
    delete, done = files.delete, []

    def dying(uri):
        if uri.endswith("000001.json"):
            raise KeyboardInterrupt
        done.append(uri)
        delete(uri)

    monkeypatch.setattr(files, "delete", dying)
    with pytest.raises(KeyboardInterrupt):
        hashed_by(job, SPEC, manifest)
    assert any(uri.endswith(".parquet") for uri in done)
    monkeypatch.undo()
    assert hashed_by(job, SPEC, manifest).retired == (1,)
    assert snapshot_numbers(old.root) == [2]


@pytest.mark.parametrize(
    ("other", "more"),
    [
        (another_version(SPEC, decode_policy="picture-0"), []),  # reads reports as today
        (OLD, ["archive.keep_reports=false"]),
    ],
)
def test_snapshots_without_old_texts_stay(new_job, manifest, other, more):
    job = new_job()
    describe(job.store, other)
    old = hashed_by(job, other, manifest, *more)
    assert hashed_by(job, SPEC, manifest).retired == ()
    assert snapshot_numbers(old.root) == [1, 2]
    assert read_snapshot(old.root, 1).items == old.items
