"""A small archive behind a real bundle: the packaged encoder, untrained hash heads, random codes, real pictures."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from snapshot_rows import publish_rows, rows

from mcmfh.encoders import encoder_spec, load_encoder
from mcmfh.hashing import load_bundle
from mcmfh.hashing.bundle import Bundle, Shape, save_bundle
from mcmfh.hashing.calibration import calibrate
from mcmfh.hashing.canary import embedding_canary, encoder_canary
from mcmfh.hashing.settings import ModelSettings
from mcmfh.snapshots.publish import Model

AWKWARD = ("a/b", "a/b/image", "ü ?#%2F", "../up", ".", "..", ";")


@pytest.fixture(scope="session")
def towers():
    torch.set_num_threads(1)
    return load_encoder("packaged", "cpu")


@pytest.fixture(scope="session")
def models(towers, tmp_path_factory) -> tuple[Model, Model]:
    """Two models of one encoder, as a snapshot states them."""
    return tuple(saved_model(str(tmp_path_factory.mktemp("bundles")), seed, towers) for seed in (1, 2))


def saved_model(root: str, seed: int, towers) -> Model:
    spec = encoder_spec("packaged", "cpu")
    shape = Shape(ModelSettings(hidden=16), spec.image_width, spec.report_width, (16,), seed)
    model = shape.build().eval()
    bundle = Bundle(model, shape, "packaged", spec.identity)
    rng = np.random.default_rng(seed)
    image, report = (rng.standard_normal((64, w)).astype(np.float32) for w in (spec.image_width, spec.report_width))
    canary = embedding_canary(bundle.all_logits, image, report, seed)
    canary["encoder"] = encoder_canary(
        lambda images, k: bundle._hash_images(towers, images, k),
        lambda texts, k: bundle._hash_reports(towers, texts, k),
        bundle.bits,
    )
    labels, study = rng.random((64, 3)) < 0.3, np.arange(64) // 2
    calibration = {"16": calibrate(bundle.hash_embeddings(image, report), labels, study)}
    uri = save_bundle(root, model, shape, spec, calibration=calibration, metrics={}, canary=canary, training={})
    loaded = load_bundle(uri)
    return Model(uri, loaded.bundle_digest, loaded.code_digest, spec.digest, (16,))


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("MCMFH_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def archive(models, tmp_path) -> str:
    """Root of an archive of one snapshot: 60 items, some of them with awkward names, all with one picture."""
    root = f"file://{tmp_path}/archives/small"
    publish_rows(root, pictured(rows([f"i{n}" for n in range(1, 61)]), tmp_path), model=models[0])
    return root


def pictured(table: pa.Table, folder) -> pa.Table:
    """`table` with a picture for every item, and AWKWARD for the names of the first."""
    picture = folder / "picture.png"
    Image.fromarray(np.arange(64 * 64, dtype=np.uint32).reshape(64, 64).astype(np.uint8)).save(picture)
    names = [*AWKWARD, *table["item_id"].to_pylist()[len(AWKWARD) :]]
    table = table.set_column(table.column_names.index("item_id"), "item_id", pa.array(names))
    uris = pa.array([picture.as_uri()] * table.num_rows)
    return table.set_column(table.column_names.index("image_uri"), "image_uri", uris)
