"""Snapshots are swapped whole, and what cannot be served changes nothing."""

import gc
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from support.snapshot_rows import publish_rows, rows

from mcmfh.archive.images import Limits
from mcmfh.errors import InputError
from mcmfh.search.opening import newest_readable
from mcmfh.search.query import validated
from mcmfh.search.retrieval import Retrieval
from mcmfh.serving.watcher import Watcher
from mcmfh.snapshots.document import Model, read_snapshot
from mcmfh.snapshots.publish import rollback
from mcmfh.store import files, numbered
from mcmfh.store.layout import snapshots_folder

NAMES = [f"i{n}" for n in range(1, 61)]


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def root(tmp_path, models) -> str:
    root = f"file://{tmp_path}/a"
    publish_rows(root, rows(NAMES[:40]), model=models[0])
    return root


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def events():
    return []


@pytest.fixture
def watcher(root, clock, events):
    def open_retrieval(number, bundles):
        return Retrieval(root, Limits(), number, bundles=bundles)

    return Watcher(root, open_retrieval, 10, lambda event, fields: events.append((event, fields)), clock)


def test_a_new_snapshot_takes_over_and_shares_the_model(root, watcher, models, events):
    old = watcher.current
    assert not watcher.poll()
    assert watcher.current is old
    publish_rows(root, rows(NAMES[30:], seed=1, version="2"), listed=NAMES, model=models[0])
    assert watcher.poll()
    assert watcher.current.snapshot.number == 2
    assert watcher.current.version["items"] == 60
    assert watcher.current.bundle is old.bundle
    assert old.answer(validated({"code": "0000", "modality": "image"}))["snapshot"] == 1  # still whole
    assert events == [("snapshot", {"snapshot": 2, "items": 60})]


def test_a_rollback_is_followed(root, watcher, models):
    before = watcher.current.answer(validated({"code": "0100", "modality": "image", "k": 40}))
    publish_rows(root, rows(NAMES[30:], seed=1, version="2"), listed=NAMES, model=models[0])
    watcher.poll()
    rollback(root, 1)
    watcher.poll()
    after = watcher.current.answer(validated({"code": "0100", "modality": "image", "k": 40}))
    assert (after["snapshot"], after["hits"]) == (3, before["hits"])


def test_another_model_comes_with_its_bundle(root, watcher, models):
    old = watcher.current.bundle
    publish_rows(root, rows(NAMES), model=models[1])
    assert watcher.poll()
    assert watcher.current.bundle.bundle_digest == models[1].bundle_digest != old.bundle_digest


def test_a_replaced_snapshot_leaves_no_file_open(root, watcher, models):
    def still_open():
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    counts = []
    for _ in range(5):
        rollback(root, 1)
        assert watcher.poll()
        counts.append(still_open())
    assert len(set(counts)) == 1


def test_a_broken_snapshot_changes_nothing_and_is_overtaken(root, watcher, models, clock, events):
    old = watcher.current
    good = numbered.get(snapshots_folder(root), 1)
    numbered.append(snapshots_folder(root), lambda head: {**good, "bundle": "file:///gone", "bundle_digest": "0" * 64})
    assert not watcher.poll()
    assert watcher.current is old
    assert (watcher.failure.snapshot, watcher.failure.attempts) == (2, 1)
    assert "gone" not in str(watcher.failure) + str(events)  # no address for everybody to read
    watcher.poll()
    assert watcher.failure.attempts == 1  # not yet again
    clock.now += 1000
    watcher.poll()
    assert watcher.failure.attempts == 2
    numbered.append(snapshots_folder(root), lambda head: good)
    assert watcher.poll()
    assert (watcher.current.snapshot.number, watcher.failure) == (3, None)


def test_a_lost_file_and_a_lost_store_change_nothing(root, watcher, models, tmp_path, clock):
    publish_rows(root, rows(NAMES[30:], seed=1, version="2"), listed=NAMES, model=models[0])
    shards = set(files.names(f"{root}/shards"))
    lost = numbered.get(snapshots_folder(root), 2)["shards"][1]["codes"] + ".safetensors"
    assert lost in shards
    data = files.read(f"{root}/shards/{lost}")
    files.delete(f"{root}/shards/{lost}")
    watcher.poll()
    assert watcher.current.snapshot.number == 1
    assert watcher.failure.snapshot == 2
    files.put(f"{root}/shards/{lost}", data)
    clock.now += 1000
    assert watcher.poll()
    (tmp_path / "a").rename(tmp_path / "away")
    watcher.poll()
    assert watcher.current.answer(validated({"code": "0000", "modality": "image"}))["snapshot"] == 2


def test_unchanged_items_at_other_distances_are_refused(root, watcher, models):
    old = watcher.current
    # The same fingerprints with other codes: what a fault in publishing would look like.
    publish_rows(root, rows(NAMES[:40], seed=5), model=models[0])
    assert not watcher.poll()
    assert watcher.current is old
    assert "InputError" in watcher.failure.reason
    with pytest.raises(InputError, match="canary"):
        watcher.swap(2)


def test_answers_under_swaps_are_each_of_one_snapshot(root, watcher, models):
    """Threads ask while the snapshots change; each answer equals that of its snapshot, opened afresh."""
    answers, stop = [], threading.Event()

    def ask(seed):
        rng = np.random.default_rng(seed)
        while not stop.wait(0.001):  # a busy loop would starve the swaps
            query = validated({"code": rng.bytes(2).hex(), "modality": "image", "k": 20})
            answers.append((query, watcher.current.answer(query)))

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(2)]
    for thread in threads:
        thread.start()
    for n in range(2, 6):
        publish_rows(root, rows(NAMES[: 40 + n], seed=n, version=str(n)), known=NAMES, model=models[0])
        assert watcher.poll()
        enough = time.monotonic() + 60
        while len(answers) < 10 * n and time.monotonic() < enough:
            time.sleep(0.001)
    stop.set()
    for thread in threads:
        thread.join()
    fresh = {n: Retrieval(root, Limits(), n, bundles=[watcher.current.bundle]) for n in range(1, 6)}
    assert len(answers) > 20
    for query, answer in answers[:: max(1, len(answers) // 200)]:
        assert answer == fresh[answer["snapshot"]].answer(query)


def test_the_thread_polls_and_stops(root, models):
    watcher = Watcher(root, lambda number, bundles: Retrieval(root, Limits(), number, bundles=bundles), 0.01)
    swapped = threading.Event()
    watcher.report = lambda event, fields: swapped.set()
    watcher.start()
    publish_rows(root, rows(NAMES[30:], seed=1, version="2"), listed=NAMES, model=models[0])
    assert swapped.wait(60)
    watcher.stop()
    assert watcher.current.snapshot.number == 2


def a_document_that_is_no_json(root):
    files.create(f"{snapshots_folder(root)}/000003.json", b"{")


def a_document_of_another_shape(root):
    files.create(f"{snapshots_folder(root)}/000003.json", b'{"shards": 7}')


def a_document_without_its_bundle(root):
    good = numbered.get(snapshots_folder(root), 2)
    numbered.append(snapshots_folder(root), lambda head: {**good, "bundle": "file:///gone", "bundle_digest": "0" * 64})


def a_document_of_a_later_version(root):
    good = numbered.get(snapshots_folder(root), 2)
    numbered.append(snapshots_folder(root), lambda head: {**good, "format": 2})


def a_folder_for_a_document(root):
    files.create(f"{snapshots_folder(root)}/000003.json/inner", b"{}")


def a_lost_shard(root):
    publish_next(root)
    files.delete(f"{root}/shards/{numbered.get(snapshots_folder(root), 3)['shards'][-1]['codes']}.safetensors")


def a_flipped_shard(root):
    publish_next(root)
    name = f"{root}/shards/{numbered.get(snapshots_folder(root), 3)['shards'][-1]['shown']}.parquet"
    data = bytearray(files.read(name))
    data[len(data) // 2] ^= 1
    files.delete(name)
    files.create(name, bytes(data))


def lost_tombstones(root):
    publish_next(root)
    files.delete(f"{root}/tombstones/{read_snapshot(root, 3).tombstones}")


def publish_next(root):
    model = read_snapshot(root, 2)
    fields = ("bundle", "bundle_digest", "code_digest", "encoder_digest", "bits")
    publish_rows(
        root,
        rows(NAMES[20:50], seed=3, version="3"),
        listed=NAMES[:50],
        known=NAMES,
        model=Model(*(getattr(model, field) for field in fields)),
    )


OF_SHARDS = (a_lost_shard, a_flipped_shard, lost_tombstones)


@pytest.mark.parametrize(
    "spoil",
    [
        a_document_that_is_no_json,
        a_document_of_another_shape,
        a_document_without_its_bundle,
        a_document_of_a_later_version,
        a_folder_for_a_document,
        a_lost_shard,
        a_flipped_shard,
        lost_tombstones,
    ],
)
def test_a_replica_starts_on_the_newest_sound_snapshot(root, models, clock, events, spoil):
    publish_rows(root, rows(NAMES[30:], seed=1, version="2"), listed=NAMES, model=models[0])
    spoil(root)
    watcher = Watcher(
        root,
        lambda number, bundles: Retrieval(root, Limits(), number, bundles=bundles),
        10,
        lambda *e: events.append(e),
        clock,
    )
    assert watcher.current.snapshot.number == 2
    assert watcher.failure.snapshot == 3
    assert watcher.failure.reason.startswith("snapshot 3 ")
    assert str(root) not in watcher.failure.reason
    assert [event for event, _ in events] == ["snapshot_failed"]
    assert watcher.current.answer(validated({"code": "0000", "modality": "image"}))["snapshot"] == 2
    assert newest_readable(root)[0] in ((2, 3) if spoil in OF_SHARDS else (2,))


def test_of_two_new_snapshots_the_sound_one_is_taken_over(root, watcher, models, clock):
    publish_rows(root, rows(NAMES[30:], seed=1, version="2"), listed=NAMES, model=models[0])
    a_document_that_is_no_json(root)
    assert watcher.poll()
    assert (watcher.current.snapshot.number, watcher.failure.snapshot) == (2, 3)
    clock.now += 1000
    assert not watcher.poll()
    assert watcher.failure.attempts == 2


def test_without_a_sound_snapshot_the_fault_of_the_newest_is_told(root):
    files.delete_tree(f"{root}/shards")
    with pytest.raises(FileNotFoundError):
        Watcher(root, lambda number, bundles: Retrieval(root, Limits(), number, bundles=bundles), 10)
    with pytest.raises(InputError, match="no snapshot"):
        Watcher(f"{root}-other", lambda number, bundles: Retrieval(f"{root}-other", Limits(), number), 10)


def shown_file(cache_folder):
    return next(cache_folder.glob("shards/*.shown.arrow"))


def spoil(path, at=-100):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    with path.open("r+b") as file:  # the same file, which is mapped
        file.write(data)


@pytest.mark.parametrize("pattern", ["shards/*.shown.arrow", "shards/*.safetensors", "*/names.npy", "*/*.index"])
def test_a_flip_made_while_serving_is_found_by_one_sweep_and_not_served(watcher, events, pattern):
    folder = Path(os.environ["MCMFH_CACHE"])
    query = validated({"code": "0000", "modality": "image", "k": 40})
    expected = watcher.current.answer(query)
    assert watcher.sweep()
    spoil(next(folder.glob(pattern)))
    assert not watcher.sweep()
    assert [event for event, _ in events] == ["cache_damaged"]
    assert not watcher.damaged
    assert watcher.current.answer(query) == expected
    assert watcher.sweep()


def test_nothing_is_answered_while_a_changed_file_cannot_be_fetched(root, watcher, tmp_path, models):
    old = watcher.current
    spoil(shown_file(Path(os.environ["MCMFH_CACHE"])))
    (tmp_path / "a").rename(tmp_path / "away")
    assert not watcher.sweep()
    assert watcher.damaged
    (tmp_path / "away").rename(tmp_path / "a")
    assert not watcher.sweep()
    assert not watcher.damaged
    assert watcher.current is not old


def test_a_newer_snapshot_replaces_a_damaged_one(root, watcher, tmp_path, models):
    spoil(shown_file(Path(os.environ["MCMFH_CACHE"])))
    (tmp_path / "a").rename(tmp_path / "away")
    watcher.sweep()
    (tmp_path / "away").rename(tmp_path / "a")
    publish_rows(root, rows(NAMES[30:], seed=1, version="2"), listed=NAMES, model=models[0])
    assert watcher.poll()
    assert (watcher.damaged, watcher.current.snapshot.number) == (False, 2)
