"""The bulk protocol: killed between any two writes it publishes the same, and it never works on anything twice."""

import random
from dataclasses import replace

import pytest
from support import chaos_jobs

from mcmfh.errors import InputError
from mcmfh.pipeline.archive import open_manifest
from mcmfh.pipeline.embed import embed_archive
from mcmfh.snapshots.diff import diff
from mcmfh.snapshots.document import snapshot_numbers
from mcmfh.snapshots.gc import collect, find_garbage
from mcmfh.store import files

ITEMS = 60


@pytest.fixture
def manifest(tmp_path) -> str:
    return chaos_jobs.write_archive(f"file://{tmp_path}/archive", ITEMS)


MANY_RANGES = {"range_rows": 8, "shard_rows": 24}  # eight ranges of keys


def document(job) -> bytes:
    return files.read(files.join(job.store, "archives/archive/snapshots/000001.json"))


class Killed(BaseException):
    pass


@pytest.mark.parametrize("kills", [10, pytest.param(1000, marks=pytest.mark.slow)])
def test_killed_between_any_two_writes(new_job, manifest, monkeypatch, kills):
    """As chaos/test_kills.py does by SIGKILL; here by an exception that nobody catches, at each write or at some."""
    undisturbed = new_job("undisturbed", **MANY_RANGES)
    undisturbed.run(manifest)
    create, writes, last = files.create, 0, None

    def dying(uri: str, data: bytes) -> bool:
        nonlocal writes
        writes += 1
        if writes == last:
            raise Killed
        return create(uri, data)

    monkeypatch.setattr(files, "create", dying)
    new_job("counted", **MANY_RANGES).run(manifest)
    assert writes > 40
    moments = random.Random(kills).sample(range(1, writes + 1), min(kills, writes))
    for moment in moments:
        job = new_job(f"killed-{moment}", **MANY_RANGES)
        writes, last = 0, moment
        with pytest.raises(Killed):
            job.run(manifest)
        last = None
        job.run(manifest)
        assert document(job) == document(undisturbed)
        assert job.encoded - ITEMS <= 16, "at most the one unit in flight"
    assert chaos_jobs.codes(job.store) == chaos_jobs.codes(undisturbed.store)


def test_ranges_and_shards_change_no_code(new_job, manifest):
    whole = new_job("whole")
    whole.run(manifest)
    parts = new_job("parts", range_rows=4, shard_rows=9)
    assert len(parts.run(manifest).document.shards) > 6
    assert chaos_jobs.codes(parts.store) == chaos_jobs.codes(whole.store)
    failed = [job.run(manifest).quarantined.select(["row", "item_id", "reason"]) for job in (whole, parts)]
    assert failed[0].sort_by("row").to_pylist() == failed[1].sort_by("row").to_pylist()


@pytest.mark.parametrize("ranges", [1, 8])
def test_one_row_at_the_top_encodes_one_item(new_job, manifest, ranges):
    job, rows = new_job(range_rows=64 // ranges), chaos_jobs.read_rows(manifest)
    job.run(manifest)
    job.encoded = 0
    longer = [{**rows[-1], "item_id": "new"}, *rows]
    published = job.run(chaos_jobs.write_manifest(files.parent(manifest), longer, "longer"))
    assert (job.encoded, published.hashed, published.items) == (1, 1, ITEMS - chaos_jobs.BROKEN + 1)


@pytest.mark.parametrize("ranges", [1, 8])
def test_what_is_shown_changes_without_encoding(new_job, manifest, ranges):
    job = new_job(range_rows=64 // ranges)
    rows = [
        {**row, "study_id": row["item_id"], "date": "2020-01-01", "ward": "A"} for row in chaos_jobs.read_rows(manifest)
    ]
    first = job.run(chaos_jobs.write_manifest(files.parent(manifest), rows, "one"), "archive.filters=[ward]")
    before, job.encoded = chaos_jobs.codes(job.store), 0
    for place, change in enumerate(({"labels": "c"}, {"study_id": "s"}, {"date": "2021-01-01"}, {"ward": "B"}), 10):
        rows[place].update(change)
    second = job.run(chaos_jobs.write_manifest(files.parent(manifest), rows, "two"), "archive.filters=[ward]")
    assert (job.encoded, second.hashed, second.items) == (0, 4, first.items)
    assert chaos_jobs.codes(job.store) == before
    shown = {item["item_id"]: item for item in chaos_jobs.shown(job.store)}
    assert shown["i00010"]["labels"] == ["c"]
    assert shown["i00011"]["study_id"] == "s"
    assert shown["i00012"]["date"] == "2021-01-01"
    assert shown["i00013"]["ward"] == "B"
    assert all(shown[name]["report"] for name in ("i00010", "i00011", "i00012", "i00013"))
    found = diff(first.root, first.document, second.document)
    assert vars(found) == {"added": 0, "removed": 0, "changed": 0, "rewritten": 4, "same": first.items - 4}
    # Without report texts every row is written anew, and none is left in what the snapshot lists.
    third = job.run(chaos_jobs.write_manifest(files.parent(manifest), rows, "three"), "archive.keep_reports=false")
    assert (job.encoded, third.items) == (0, first.items)
    assert not any(item["report"] for item in chaos_jobs.shown(job.store))


def test_new_changed_and_removed_items(new_job, manifest):
    job, rows = new_job(**MANY_RANGES), chaos_jobs.read_rows(manifest)
    first = job.run(manifest)
    job.encoded = 0
    rows = rows[:40]
    rows[20]["report"] = "something else"
    rows[30]["image_uri"] = "pictures/nothing.png"  # was an item, is one no more
    second = job.run(chaos_jobs.write_manifest(files.parent(manifest), rows, "other"))
    assert second.items + second.failed == second.inputs == 40
    assert (job.encoded, second.reasons["image file not found"]) == (2, 1)
    assert set(chaos_jobs.codes(job.store)) == {row["item_id"] for row in rows[chaos_jobs.BROKEN :]} - {"i00030"}
    found = diff(first.root, first.document, second.document)
    assert vars(found) == {"added": 0, "removed": 21, "changed": 1, "rewritten": 0, "same": 35}
    again = job.run(chaos_jobs.write_manifest(files.parent(manifest), rows, "equal"))
    assert (again.snapshot, again.hashed) == (second.snapshot, 0)


def test_equal_item_ids_are_found_wherever_they_stand(new_job, manifest):
    rows = chaos_jobs.read_rows(manifest)
    doubled = chaos_jobs.write_manifest(
        files.parent(manifest), [*rows, rows[17], {**rows[44], "report": "other"}], "doubled"
    )
    published = new_job(**MANY_RANGES).run(doubled)
    assert (published.inputs, published.items) == (ITEMS + 2, ITEMS - chaos_jobs.BROKEN)
    assert published.reasons["item_id was used by an earlier row"] == 2


def test_another_model_shares_embeddings_and_no_code(new_job, manifest, bundles):
    job = new_job()
    first = job.run(manifest)
    before, job.encoded = chaos_jobs.codes(job.store), 0
    with pytest.raises(InputError, match="replace_model"):
        job.run(manifest, f"hash.bundle={bundles[1]}")
    second = job.run(manifest, f"hash.bundle={bundles[1]}", "hash.replace_model=true")
    after = chaos_jobs.codes(job.store)
    assert (job.encoded, second.hashed, after.keys()) == (0, first.items, before.keys())
    assert sum(after[name] != before[name] for name in after) > len(after) / 2
    other = new_job("other")
    other.run(manifest, f"hash.bundle={bundles[1]}")
    assert after == chaos_jobs.codes(other.store)


def test_another_version_of_a_package_shares_nothing(new_job, manifest, monkeypatch):
    from support.child import light_encoder

    import mcmfh.encoders.spec as identity

    job = new_job()
    job.run(manifest)
    job.encoded = 0
    installed = identity.library_versions()
    monkeypatch.setattr(identity, "library_versions", lambda: {**installed, "pillow": "0.1"})
    newer = light_encoder.spec()
    job.execution = replace(job.execution, spec=lambda config: newer)
    with pytest.raises(InputError, match="another encoder"):
        job.run(manifest)
    config = job.config(manifest)
    embedded = embed_archive(config, open_manifest(config.archive), execution=job.execution)
    assert (job.encoded, embedded.reused) == (ITEMS, 0)


def test_quarantined_items_are_tried_again_when_asked(new_job, manifest):
    job = new_job()
    first = job.run(manifest)
    job.encoded = 0
    assert job.run(manifest).failed == chaos_jobs.BROKEN
    assert job.encoded == 0
    folder = next(iter(files.names(files.join(job.store, "embeddings"))))
    for tried in (1, 2, 3):
        assert job.run(manifest, "embed.retry_quarantined=true").snapshot == first.snapshot
        assert job.encoded == tried * chaos_jobs.BROKEN
        assert len(files.names(files.join(job.store, "embeddings", folder, "done"))) == 4 + tried


def test_gc_takes_what_no_kept_snapshot_needs(new_job, manifest):
    job, rows = new_job(**MANY_RANGES), chaos_jobs.read_rows(manifest)
    published = job.run(manifest)
    for number in range(3):
        rows[20 + number]["report"] = "something else"
        published = job.run(chaos_jobs.write_manifest(files.parent(manifest), rows, str(number)))
    files.create(files.join(published.root, "scratch", "dead", "items"), b"left by a killed job")
    codes = chaos_jobs.codes(job.store)
    assert find_garbage(published.root, keep=1, grace_seconds=3600).uris == []
    garbage = find_garbage(published.root, keep=1, grace_seconds=-1)
    rooms = [uri.removeprefix(published.root + "/").partition("/")[0] for uri in garbage.uris]
    assert rooms[:3] == ["snapshots"] * 3
    assert {"scratch", "tombstones"} <= set(rooms)
    collect(garbage)
    assert snapshot_numbers(published.root) == [published.snapshot]
    assert chaos_jobs.codes(job.store) == codes
    job.encoded = 0
    assert job.run(chaos_jobs.write_manifest(files.parent(manifest), rows, "same")).snapshot == published.snapshot
    assert job.encoded == 0


def test_a_shard_that_a_gc_took_is_made_again(new_job, manifest):
    """A marker outlives its shard only where somebody deleted the shard by hand; even so nothing is lost."""
    job = new_job()
    published = job.run(manifest)
    expected = document(job)
    for folder in ("snapshots", "shards"):
        files.delete_tree(files.join(published.root, folder))
    job.encoded = 0
    job.run(manifest)
    assert document(job) == expected
    assert job.encoded == 0


def test_a_racing_job_is_built_upon(new_job, manifest, monkeypatch):
    """A second job publishes its own new items between another's last look at the head and its own publishing."""
    job, rows = new_job(**MANY_RANGES), chaos_jobs.read_rows(manifest)
    job.run(manifest)
    racing = [
        chaos_jobs.write_manifest(files.parent(manifest), [{**rows[20], "item_id": name}, *rows[:50]], name)
        for name in ("a", "b")
    ]
    create, raced = files.create, []

    def late(uri: str, data: bytes) -> bool:
        if uri.endswith("snapshots/000002.json") and not raced:
            raced.append(uri)
            job.run(racing[1])
        return create(uri, data)

    monkeypatch.setattr(files, "create", late)
    published = job.run(racing[0])
    assert (published.snapshot, published.document.parent) == (3, 2)
    expected = {row["item_id"] for row in rows[chaos_jobs.BROKEN : 50]} | {"a", "b"}
    codes = chaos_jobs.codes(job.store)
    assert codes.keys() == expected
    assert codes["a"] == codes["b"] == codes[rows[20]["item_id"]]
