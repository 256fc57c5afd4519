"""A large synthetic archive for measurements: random codes and plausible metadata, written directly as shards."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mcmfh.encoders import encoder_spec, load_encoder
from mcmfh.encoders.base import Encoder
from mcmfh.hashing import load_bundle
from mcmfh.hashing.bundle import save_bundle
from mcmfh.hashing.calibration import calibrate
from mcmfh.hashing.canary import embedding_canary, encoder_canary
from mcmfh.hashing.coder import Coder, Shape
from mcmfh.hashing.settings import ModelSettings
from mcmfh.snapshots import shards
from mcmfh.snapshots.document import Model, SnapshotDocument
from mcmfh.store import numbered
from mcmfh.store.layout import archive_root, snapshots_folder

FILTERS = ("modality", "year")
IMAGING_MODALITIES = np.array(["CR", "CT", "MR", "US"])
BITS = 16


def untrained_model(
    root: str, seed: int = 0, towers: Encoder | None = None, hidden: int = 512, device: str = "cpu"
) -> Model:
    """A bundle below `root` of the packaged encoder and untrained hash heads, which cost as much time as trained ones.

    towers: the packaged encoder where it is loaded already; it gives the canary. device: the kind of device on which
    the model says it was trained.
    """
    spec = encoder_spec("packaged", device)
    towers = towers or load_encoder("packaged", "cpu")
    shape = Shape(ModelSettings(hidden=hidden), spec.image_width, spec.report_width, (BITS,), seed)
    model = shape.build().eval()
    coder = Coder(model, shape)
    rng = np.random.default_rng(seed)
    image, report = (rng.standard_normal((64, w)).astype(np.float32) for w in (spec.image_width, spec.report_width))
    canary = embedding_canary(coder.all_logits, image, report, seed)
    canary["encoder"] = encoder_canary(
        lambda images, k: coder.encode_and_hash_images(towers, images, k),
        lambda texts, k: coder.encode_and_hash_reports(towers, texts, k),
        coder.bits,
    )
    labels, study = rng.random((64, 3)) < 0.3, np.arange(64) // 2
    calibration = {str(BITS): calibrate(coder.hash_embeddings(image, report), labels, study)}
    uri = save_bundle(root, model, shape, spec, calibration=calibration, metrics={}, canary=canary, training={})
    loaded = load_bundle(uri)
    return Model(uri, loaded.bundle_digest, loaded.code_digest, spec.digest, (BITS,))


def publish_synthetic(root: str, model: Model, items: int, shard_rows: int = shards.SHARD_ROWS, seed: int = 0) -> int:
    """Publish a snapshot of `items` random items and return its number. The same seed gives the same archive."""
    written = []
    for start in range(0, items, shard_rows):
        table = synthetic_rows(start, min(shard_rows, items - start), seed)
        written.append(shards.write_shard(root, table, FILTERS))

    def build(head: tuple[int, dict[str, Any]] | None) -> dict[str, Any]:
        document = SnapshotDocument(
            parent=head[0] if head else None,
            shards=tuple(written),
            tombstones=None,
            rows=items,
            items=items,
            quarantine=(),
            quarantined=0,
            filters=FILTERS,
            **asdict(model),
        )
        return document.to_json()

    return numbered.append(snapshots_folder(root), build)[0]


def synthetic_rows(start: int, rows: int, seed: int = 0) -> pa.Table:
    """The table of `rows` shard rows from number `start` on: three items a study, every twentieth without a report."""
    rng = np.random.default_rng([seed, start])
    number = np.arange(start, start + rows)
    name = pc.cast(pa.array(number), pa.string())
    year = 2000 + number % 25

    def text(*parts: Any) -> pa.Array:
        return pc.binary_join_element_wise(*parts, "")

    def codes(lacking: np.ndarray) -> pa.Array:
        column = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(BITS // 8), rows, [None, pa.py_buffer(rng.integers(0, 256, (rows, BITS // 8), np.uint8))]
        )
        return pc.if_else(pa.array(lacking), pa.scalar(None, column.type), column)

    reported = number % 20 != 0
    report = text("View of study ", name, ". Heart size normal, lungs clear, no effusion. Compared with ", name)
    finding = text("finding-", pc.cast(pa.array(number % 40), pa.string()))
    return pa.table(
        {
            "item_id": text("item-", name),
            "fingerprint": text(f"etag:{seed}-", name),
            "study_id": text("study-", pc.cast(pa.array(number // 3), pa.string())),
            "modality": pa.array(IMAGING_MODALITIES[rng.integers(0, 4, rows)]),
            "year": pa.array(year),
            "image_uri": text("s3://archive/images/", name, ".dcm"),
            "labels": pa.FixedSizeListArray.from_arrays(finding, 1).cast(pa.list_(pa.string())),
            "date": text(pc.cast(pa.array(year), pa.string()), "-06-15"),
            "report": pc.if_else(pa.array(reported), report, pa.scalar(None, pa.string())),
            f"image.{BITS}": codes(np.zeros(rows, bool)),
            f"report.{BITS}": codes(~reported),
        }
    )


def peer_files(root: str, document: SnapshotDocument, folder: Path) -> None:
    """Write the files that the peer loads: codes.npy, uint8 [n, B], and names.npy, of the items with a report."""
    codes, names = [], []
    for shard in document.shards:
        tensors, items = shards.read_codes(root, shard), shards.read_items(root, shard)
        reported = shards.presence(tensors, "report", shard.rows)
        codes.append(tensors[f"report.{BITS}"][reported])
        names.append(items["item_id"].to_numpy()[reported].astype("S"))
    np.save(folder / "codes.npy", np.concatenate(codes))
    np.save(folder / "names.npy", np.concatenate(names))


def absolute_root(folder: Path) -> str:
    return archive_root(str(folder), "synthetic")
