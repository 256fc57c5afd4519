"""A store written by the code of commit a0b2eed opens, resumes and answers as it did then.

support/make_old_store.py made it. Its snapshots name bundles and images by absolute address. It is unpacked to the
address it was written to, in a bucket of the test's own S3 server, and also opened elsewhere. Nothing is rewritten.
"""

import json
import tarfile
from functools import partial
from pathlib import Path

import pytest
import torch
from support import chaos_jobs
from support import old_store_work as work

from mcmfh.archive.images import Limits
from mcmfh.bulk.embed import UnitDone
from mcmfh.config import load_config
from mcmfh.embeddings import units
from mcmfh.hashing import load_bundle, registry
from mcmfh.hashing.bundle import Bundle
from mcmfh.pipeline.archive import open_manifest, read_archive
from mcmfh.pipeline.evaluate import evaluate_archive
from mcmfh.pipeline.execution import Execution
from mcmfh.pipeline.hash import hash_archive
from mcmfh.pipeline.pretrain import pose
from mcmfh.pipeline.train import train_archive
from mcmfh.search.query import validated
from mcmfh.search.retrieval import Retrieval
from mcmfh.snapshots import shards
from mcmfh.snapshots.diff import diff
from mcmfh.snapshots.document import read_snapshot, snapshot_numbers
from mcmfh.snapshots.gc import collect, find_garbage
from mcmfh.snapshots.publish import quarantined, rollback
from mcmfh.store import files
from mcmfh.store.layout import archive_root, embeddings_folder, snapshots_folder

OLD = Path(__file__).parents[1] / "support" / "old_store"
RECORDED = json.loads((OLD / "answers.json").read_text())


@pytest.fixture
def old_store(s3_root) -> str:
    """Every object at the address it was written to. Returns the store."""
    files.delete_tree(work.FOLDER)
    with tarfile.open(OLD / "store.tar.xz") as packed:
        for entry in packed:
            data = packed.extractfile(entry)
            assert data is not None
            files.create(files.join(work.FOLDER, entry.name), data.read())
    return work.STORE


class Bulk:
    """The bulk jobs in this process; counts the items that are encoded."""

    def __init__(self):
        self.encoded = 0
        self.execution = Execution(lambda function, calls: (function(*call) for call in calls), self.embed, spec)

    def embed(self, config, spec, plan):
        for unit in plan:
            self.encoded += unit.rows
            marker = units.write_unit(
                embeddings_folder(config.store, spec.digest), unit.digest, work.embedded(unit.items())
            )
            yield UnitDone(marker["rows"], marker["quarantined"], 0, 0.0, 0.0)

    def run(self, manifest: str, *more: str):
        configured = config(manifest, f"hash.bundle={RECORDED['trained']['bundle']}", *more)
        return hash_archive(configured, open_manifest(configured.archive), execution=self.execution)


def assert_same_model(new: Bundle, old: Bundle) -> None:
    """Weights agree to 1e-5, codes of the canary are equal. The old code added 1e-6 to each feature's deviation."""
    assert new.shape == old.shape
    assert new.canary == old.canary
    for name, weights in old.model.state_dict().items():
        assert torch.allclose(new.model.state_dict()[name], weights, rtol=1e-5, atol=1e-5), name


def spec(config):
    return work.SPEC


def config(manifest: str, *more: str):
    return load_config([*work.JOB, f"archive.manifest={work.ARCHIVE}/{manifest}.csv", *more], read_default=False)


def codes(archive: str, store: str = work.STORE) -> dict[str, dict[str, str]]:
    """item_id → column → code of an archive's newest snapshot."""
    root = archive_root(store, archive)
    document = read_snapshot(root, max(snapshot_numbers(root)))
    columns = sorted(name for name in shards.read_codes(root, document.shards[0]) if not name.endswith(".present"))
    return {
        item: dict(zip(columns, (code.hex() for code in of_item)))
        for item, of_item in chaos_jobs.codes(store, archive).items()
    }


def ask_retrieval(retrieval: Retrieval, fields: dict):
    return retrieval.answer(validated(fields))


def hashed_files(root: str) -> set[tuple[str, str]]:
    """(folder, name) of the shards and their markers."""
    parts = [uri.removeprefix(f"{root}/").split("/") for uri, _ in files.walk(root)]
    return {(folder, name) for folder, *_, name in parts if folder in ("shards", "runs")}


def as_json(value):
    return json.loads(json.dumps(value, default=list))


def named_relatively(document: dict) -> dict:
    """A recorded document as it is written today: its bundle named relative to the store."""
    return {**document, "bundle": document["bundle"].removeprefix(f"{work.STORE}/")}


@pytest.mark.parametrize("where", ["as it was", "on a disk", "in another bucket"])
def test_snapshots_open_and_answer_the_same(where, old_store, s3_root, tmp_path, monkeypatch):
    monkeypatch.setenv("MCMFH_CACHE", str(tmp_path / "cache"))
    if where != "as it was":
        new = f"file://{tmp_path}/restored" if where == "on a disk" else f"{s3_root}/restored"
        for uri, _ in list(files.walk(old_store)):
            files.create(new + uri.removeprefix(old_store), files.read(uri))
        files.delete_tree(old_store)
        old_store = new
    root = archive_root(old_store, "archive")
    for number, answers in RECORDED["answers"].items():
        retrieval = Retrieval(root, Limits(), int(number))
        ask = partial(ask_retrieval, retrieval)
        now = as_json(work.answers(retrieval, ask))
        for asked in now["hits"]:
            assert asked["answer"].pop("receipt")["snapshot"]  # answers carry receipts since
        assert now == answers
        assert any(asked["answer"]["hits"] for asked in answers["hits"])
    assert codes("archive", old_store) == RECORDED["codes"]
    assert registry.resolve(old_store, "latest").startswith(old_store)
    assert vars(diff(root, read_snapshot(root, 1), read_snapshot(root, 2))) == RECORDED["diff"]
    failed = quarantined(root, read_snapshot(root, 2)).select(["item_id", "row", "reason"])
    assert failed.to_pylist() == RECORDED["quarantined"]


def test_every_document_is_written_as_it_was_read(old_store):
    root = archive_root(old_store, "archive")
    for number in snapshot_numbers(root):
        stored = files.read(files.join(snapshots_folder(root), f"{number:06d}.json"))
        assert files.canonical_json(read_snapshot(root, number).to_json()) == stored
        assert read_snapshot(root, number).digest == files.digest(stored)


def test_the_finished_bundle_opens_and_is_the_latest(old_store):
    before = dict(files.walk(old_store))
    bundle = RECORDED["trained"]["bundle"]
    assert registry.resolve(old_store, "latest") == bundle
    assert load_bundle(bundle).bundle_digest == bundle.rpartition("/")[2]
    assert dict(files.walk(old_store)) == before, "nothing was written"


def test_a_finished_training_is_done_again_under_its_new_name(old_store):
    """Its old name left out the studies, the names of the labels and the version of the code."""
    configured = config("first", *work.TRAINING)
    archive = read_archive(configured.archive)
    old = load_bundle(RECORDED["trained"]["bundle"])
    trained = train_archive(configured, archive, work.SPEC)
    assert (trained.number, trained.reused) == (2, False)
    assert_same_model(load_bundle(trained.bundle), old)
    assert train_archive(configured, archive, work.SPEC).reused
    evaluated = evaluate_archive(configured, archive, RECORDED["trained"]["bundle"], work.SPEC)
    assert evaluated.report != RECORDED["evaluated"], "the old page's name left out what was embedded"


def test_a_pretraining_has_another_name_than_it_had(old_store):
    """Its old name left out the validation pairs, the limits and the version of the code."""
    configured = config("first", "pretrain.size=tiny", "pretrain.vocabulary_size=300")
    assert pose(configured, read_archive(configured.archive)).fingerprint != RECORDED["pretraining"]


def test_a_killed_training_begins_anew_and_comes_to_the_same_codes(old_store):
    configured = config("first", *work.KILLED_TRAINING)
    archive = read_archive(configured.archive)
    trained = train_archive(configured, archive, work.SPEC)
    assert (trained.number, trained.reused) == (2, False)
    # The same training in a store that no killed one has left anything in.
    clean = f"{work.FOLDER}/clean"
    for uri, _ in list(files.walk(f"{old_store}/embeddings")):
        files.create(clean + uri.removeprefix(old_store), files.read(uri))
    again = train_archive(config("first", *work.KILLED_TRAINING, f"store={clean}"), archive, work.SPEC)
    assert load_bundle(trained.bundle).code_digest == load_bundle(again.bundle).code_digest


def test_a_killed_embedding_encodes_only_what_was_missing(old_store):
    bulk = Bulk()
    published = bulk.run("other", "archive.name=half-embedded")
    assert (bulk.encoded, published.inputs) == (48 - work.UNIT, 48)
    recorded = RECORDED["half-embedded"]
    assert as_json(published.document.to_json()) == named_relatively(recorded["document"])
    assert codes("half-embedded") == recorded["codes"]


def test_a_killed_hashing_publishes_what_was_hashed(old_store):
    root, bulk = archive_root(old_store, "half-published"), Bulk()
    before = hashed_files(root)
    assert {folder for folder, _ in before} == {"shards", "runs"}
    published = bulk.run("first", "archive.name=half-published")
    assert (bulk.encoded, published.snapshot, hashed_files(root)) == (0, 1, before), "the marker was honoured"
    recorded = RECORDED["half-published"]
    assert as_json(published.document.to_json()) == named_relatively(recorded["document"])
    assert codes("half-published") == recorded["codes"]


def test_the_same_manifest_changes_nothing(old_store):
    bulk = Bulk()
    published = bulk.run("second")
    assert (bulk.encoded, published.hashed, published.snapshot) == (0, 0, 2)


def test_rollback_and_gc(old_store):
    root = archive_root(old_store, "archive")
    first = read_snapshot(root, 1)
    assert rollback(root, 1) == 3
    assert read_snapshot(root, 3).shards == first.shards
    assert len(codes("archive")) == first.items
    garbage = find_garbage(root, keep=1, grace_seconds=-1)
    folders = [uri.removeprefix(f"{root}/").partition("/")[0] for uri in garbage.uris]
    assert folders[:2] == ["snapshots"] * 2
    assert {"runs", "shards", "tombstones"} <= set(folders)
    collect(garbage)
    assert snapshot_numbers(root) == [3]
    assert len(codes("archive")) == first.items
    bulk = Bulk()
    again = bulk.run("second")
    assert (bulk.encoded, codes("archive")) == (0, RECORDED["codes"])
    assert again.snapshot == 4
