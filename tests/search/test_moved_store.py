"""A store that was moved, copied or restored elsewhere opens there: codes, model, towers and pictures."""

import json
import shutil
from pathlib import Path

import pytest
from support.served_archive import pictured
from support.snapshot_rows import publish_rows, rows

from mcmfh.archive.images import Limits
from mcmfh.benchmarks.serving.archives import untrained_model
from mcmfh.encoders import EncoderSpec, ImagePreprocessing
from mcmfh.hashing import bundle, registry
from mcmfh.search.query import validated
from mcmfh.search.retrieval import Retrieval
from mcmfh.snapshots.compare import DISPLAYED
from mcmfh.snapshots.document import read_snapshot
from mcmfh.snapshots.shards import read_shown
from mcmfh.store import files
from mcmfh.store.layout import archive_root, bundles_folder

QUERY = {"code": "0305", "modality": "image", "k": 20}


@pytest.fixture
def store(towers, tmp_path) -> Path:
    """A store with a model and an archive of one snapshot, whose pictures lie below the store too."""
    store = tmp_path / "first place"
    model = untrained_model(bundles_folder(str(store)), 1, towers, hidden=16)
    publish_rows(archive_root(str(store), "small"), pictured(rows([f"i{n}" for n in range(1, 61)]), store), model=model)
    registry.register(str(store), model.bundle, model.bundle_digest, model.code_digest)
    return store


def answers(store: Path) -> tuple[dict, bytes | None]:
    retrieval = Retrieval(archive_root(str(store), "small"), Limits())
    return retrieval.answer(validated(QUERY)), retrieval.thumbnail("i20")


@pytest.mark.parametrize("to", ["second place", "first place/nested"])
def test_it_answers_at_its_new_place(store, to, monkeypatch, tmp_path_factory):
    before = answers(store)
    assert before[1] is not None
    assert all(str(store).encode() not in path.read_bytes() for path in store.rglob("*.json"))
    new = store.parent / "elsewhere" / to
    new.parent.mkdir(parents=True)
    shutil.move(store, new)
    monkeypatch.setenv("MCMFH_CACHE", str(tmp_path_factory.mktemp("other")))
    assert answers(new) == before
    assert registry.resolve(str(new), "latest").startswith(files.absolute(str(new)))


def test_displayed_columns_are_compared_by_absolute_address(store):
    root = archive_root(str(store), "small")
    (shard,) = read_snapshot(root, 1).shards
    shown = read_shown(root, shard, DISPLAYED)
    assert set(shown["image_uri"].to_pylist()) == {files.absolute(str(store / "picture.png"))}


def test_an_absolute_name_gives_way_to_the_stores_own_copy(store):
    """As older versions wrote it, and with another store's address, that of the place where it once was."""
    root = archive_root(str(store), "small")
    path = Path(root.removeprefix("file://")) / "snapshots" / "000001.json"
    document = json.loads(path.read_text())
    document.pop("digest", None)
    document["bundle"] = f"s3://gone/store/{document['bundle']}"
    path.unlink()
    path.write_bytes(files.canonical_json(document))
    assert answers(store)[0]["hits"]


def test_towers_of_the_store_are_named_relative_to_it(tmp_path):
    def spec(name: str, source: str | None) -> EncoderSpec:
        return EncoderSpec(name, "w", "a", ImagePreprocessing(), 8, 8, "cpu", source=source)

    here, there = f"file://{tmp_path}/here", f"file://{tmp_path}/there"
    for source, name in {
        f"{here}/encoders/abc": "encoders/abc",
        f"{there}/encoders/abc": f"{there}/encoders/abc",
    }.items():
        assert bundle._named_source(f"{here}/bundles", spec("mcr", source)) == name
        assert bundle._encoder_source(f"{here}/bundles/1", {"encoder": "mcr", "encoder_source": name}) == source
    files.create(f"{here}/encoders/abc/config.json", b"{}")
    moved = {"encoder": "mcr", "encoder_source": "s3://gone/encoders/abc"}
    assert bundle._encoder_source(f"{here}/bundles/1", moved) == f"{here}/encoders/abc"
    for hub in ("microsoft/model@main", None):
        assert bundle._named_source(f"{here}/bundles", spec("biomedclip", hub)) == hub
        assert bundle._encoder_source(f"{here}/bundles/1", {"encoder": "biomedclip", "encoder_source": hub}) == hub
