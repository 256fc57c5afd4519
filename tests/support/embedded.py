"""A manifest and its stored embeddings, written from a table of embeddings: an archive without files or an encoder."""

import csv
import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
from support.planted import SPEC

from mcmfh.archive.opened import Archive
from mcmfh.config import Config, load_config
from mcmfh.embeddings import units
from mcmfh.embeddings.plan import unit_names
from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.encoders import EncoderSpec
from mcmfh.pipeline.archive import read_archive
from mcmfh.store.layout import embeddings_folder

TRAINING = ("hidden=8", "epochs=2", "min_steps=1", "batch_size=48", "workers=0", "bits=16")


def write_manifest(folder: Path, table: EmbeddingTable, name: str = "manifest") -> Path:
    """The manifest of the items of `table`; equal `text_key`s become equal reports."""
    uri = folder / f"{name}.csv"
    with uri.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["item_id", "image_uri", "report", "study_id", "labels", "split", "group", "date"])
        for i, item in enumerate(table.item_id):
            labels = "|".join(name for name, has in zip(table.label_names, table.labels[i]) if has)
            image = f"{item}.png" if table.has_image[i] else ""
            report = f"text of {table.text_key[i]}" if table.has_report[i] else ""
            of_item = (table.study[i], labels, table.split[i], table.group[i], table.date[i])
            rows.writerow([item, image, report, *of_item])
    return uri


def configured(folder: Path, manifest: Path, *more: str) -> Config:
    """A configuration with a store below `folder` and trainings at a size for tests, in this process."""
    given = [f"store={folder / 'store'}", f"archive.manifest={manifest}", *(f"train.{each}" for each in TRAINING)]
    return load_config([*given, *more], read_default=False)


def embed(config: Config, table: EmbeddingTable, rows: np.ndarray | None = None, spec: EncoderSpec = SPEC) -> Archive:
    """Store the embeddings of the items of `table` at positions `rows` (default: all); returns the opened archive."""
    archive = read_archive(config.archive)
    position = {item: i for i, item in enumerate(table.item_id)}
    wanted = set(table.item_id if rows is None else table.item_id[rows])
    items = archive.items.filter(pa.array([item in wanted for item in archive.items["item_id"].to_pylist()]))
    at = [position[item] for item in items["item_id"].to_pylist()]
    stored = items.select(["item_id", "fingerprint", "row"])
    reports = items["report"].to_pylist()
    texts = {
        "reason": [None] * len(at),
        "image_sha256": [
            hashlib.sha256(table.image[i].tobytes()).hexdigest() if table.has_image[i] else None for i in at
        ],
        "report_sha256": [None if each is None else hashlib.sha256(each.encode()).hexdigest() for each in reports],
        "report": reports,
    }
    for name, values in texts.items():
        stored = stored.append_column(name, pa.array(values, pa.string()))
    for name, vectors, present in (
        ("image_embedding", table.image, table.has_image),
        ("report_embedding", table.report, table.has_report),
    ):
        kind = pa.list_(pa.float32(), vectors.shape[1])
        stored = stored.append_column(name, pa.array([vectors[i].tolist() if present[i] else None for i in at], kind))
    if at:
        folder = embeddings_folder(config.store, spec.digest)
        (unit,) = unit_names(items, np.array([0]))
        units.write_unit(folder, unit, stored)
    return archive
