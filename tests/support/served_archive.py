"""A small archive behind a real bundle: the packaged encoder, untrained hash heads, random codes, real pictures."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from support.snapshot_rows import publish_rows, rows

from mcmfh.benchmarks.serving.archives import untrained_model
from mcmfh.encoders import load_encoder
from mcmfh.encoders.base import Encoder
from mcmfh.snapshots.document import Model

AWKWARD = ("a/b", "a/b/image", "ü ?#%2F", "../up", ".", "..", ";")


@pytest.fixture(scope="session")
def towers() -> Encoder:
    torch.set_num_threads(1)
    return load_encoder("packaged", "cpu")


@pytest.fixture(scope="session")
def models(towers: Encoder, tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Model]:
    """Two models of one encoder, as a snapshot states them."""
    first, second = (
        untrained_model(str(tmp_path_factory.mktemp("bundles")), seed, towers, hidden=16) for seed in (1, 2)
    )
    return first, second


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCMFH_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def archive(models: tuple[Model, Model], tmp_path: Path) -> str:
    """Root of an archive of one snapshot: 60 items, some of them with awkward names, all with one picture."""
    root = f"file://{tmp_path}/archives/small"
    publish_rows(root, pictured(rows([f"i{n}" for n in range(1, 61)]), tmp_path), model=models[0])
    return root


def pictured(table: pa.Table, folder: Path) -> pa.Table:
    """`table` with a picture for every item, and AWKWARD for the names of the first."""
    picture = folder / "picture.png"
    Image.fromarray(np.arange(64 * 64, dtype=np.uint32).reshape(64, 64).astype(np.uint8)).save(picture)
    names = [*AWKWARD, *table["item_id"].to_pylist()[len(AWKWARD) :]]
    table = table.set_column(table.column_names.index("item_id"), "item_id", pa.array(names))
    uris = pa.array([picture.as_uri()] * table.num_rows)
    return table.set_column(table.column_names.index("image_uri"), "image_uri", uris)
