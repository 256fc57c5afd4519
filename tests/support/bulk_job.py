"""The bulk jobs in one process: real stores, plans, hashing and publishing; only Ray and the encoder are left out."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from support import chaos_jobs
from support.child import light_encoder

from mcmfh.archive.loading import load_items
from mcmfh.bulk.embed import UnitDone
from mcmfh.config import Config, load_config
from mcmfh.embeddings import units
from mcmfh.embeddings.plan import Unit
from mcmfh.encoders import EncoderSpec
from mcmfh.encoders.base import Encoder
from mcmfh.pipeline.archive import open_manifest
from mcmfh.pipeline.execution import Execution
from mcmfh.pipeline.hash import Published, hash_archive
from mcmfh.store import files
from mcmfh.store.layout import embeddings_folder

SPEC = light_encoder.spec()


class Job:
    """hash_archive over a manifest; counts what is encoded. `portions`: range_rows and shard_rows."""

    def __init__(self, folder: str, bundle: str, spec: EncoderSpec = SPEC, **portions: int):
        self.folder, self.bundle = folder, bundle
        self.store = files.join(folder, "store")
        self.encoded = 0
        self.execution = Execution(inline, self.embed, lambda config: spec, **portions)

    def config(self, manifest: str, *more: str) -> Config:
        settings = [f"store={self.store}", f"archive.manifest={manifest}", f"hash.bundle={self.bundle}"]
        return load_config(
            [*settings, "embed.unit_items=16", "archive.max_failure_rate=0.5", *more], read_default=False
        )

    def run(self, manifest: str, *more: str) -> Published:
        config = self.config(manifest, *more)
        return hash_archive(config, open_manifest(config.archive), execution=self.execution)

    def embed(self, config: Config, spec: EncoderSpec, plan: Iterable[Unit]) -> Iterator[UnitDone]:
        encoder = Encoder(spec, light_encoder.Towers())
        for unit in plan:
            items = unit.items()
            loaded = list(load_items(items.select(["image_uri", "report", "report_uri"]).to_pylist()))
            table = items.select(["item_id", "fingerprint", "row"])
            for name in ("reason", "image_sha256", "report_sha256", "report"):
                table = table.append_column(name, pa.array([getattr(one, name) for one in loaded], "string"))
            pixels = [spec.preprocessing(one.image) for one in loaded if one.image is not None]
            texts = [one.report for one in loaded if one.report is not None]
            self.encoded += unit.rows
            images = np.stack(pixels) if pixels else np.zeros((0, 8, 8, 3), np.uint8)
            vectors = encoder.encode_images(images, 16), encoder.encode_reports(texts, 16)
            for modality, values in zip(("image", "report"), vectors):
                rows = iter(values)
                column = [None if getattr(one, modality) is None else next(rows) for one in loaded]
                kind = pa.list_(pa.float32(), light_encoder.WIDTH)
                table = table.append_column(f"{modality}_embedding", pa.array(column, kind))
            marker = units.write_unit(embeddings_folder(config.store, spec.digest), unit.digest, table)
            yield UnitDone(marker["rows"], marker["quarantined"], 0, 0.0, 0.0)


def inline(function: Callable[..., Any], calls: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
    return (function(*call) for call in calls)


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Two models."""
    root = f"file://{tmp_path_factory.mktemp('bundles')}"
    return chaos_jobs.save_model(root, 0), chaos_jobs.save_model(root, 1)


@pytest.fixture
def new_job(bundles: tuple[str, str], tmp_path: Path) -> Callable[..., Job]:
    """Makes a Job with a store of its own."""

    def make(name: str = "job", **portions: int) -> Job:
        return Job(f"file://{tmp_path}/{name}", bundles[0], SPEC, **portions)

    return make
