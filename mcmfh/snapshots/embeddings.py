"""Stored embeddings joined with a manifest: the table that training and evaluation read."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from mcmfh.archive.splits import with_splits
from mcmfh.encoders.table import EmbeddingTable, label_matrix
from mcmfh.errors import InputError
from mcmfh.snapshots import units


@dataclass(frozen=True)
class Placement:
    """Where the items' embeddings stand: row `position[i]` of unit `units[unit[i]]`; unit -1: not embedded yet.

    `reason[i]` tells why an item has none and never will, unless its files change.
    """

    units: list[str]
    unit: np.ndarray
    position: np.ndarray
    reason: np.ndarray  # str or None


def locate(folder: str, items: pa.Table) -> Placement:
    """Find every item of `items` (item_id, fingerprint) among the done units of an embeddings folder."""
    done = units.done_units(folder)
    wanted = {pair: i for i, pair in enumerate(zip(items["item_id"].to_pylist(), items["fingerprint"].to_pylist()))}
    unit = np.full(items.num_rows, -1)
    position = np.zeros(items.num_rows, np.int64)
    reason = np.full(items.num_rows, None, object)
    columns = ["item_id", "fingerprint", "reason"]
    for number, table in enumerate(units.read_units(folder, done, columns)):
        for row, (item, fingerprint, why) in enumerate(zip(*(table[name].to_pylist() for name in columns))):
            if (i := wanted.get((item, fingerprint))) is not None:
                unit[i], position[i], reason[i] = number, row, why
    return Placement(done, unit, position, reason)


def load_embeddings(folder: str, items: pa.Table, widths: tuple[int, int]) -> EmbeddingTable:
    """The embedded, unquarantined ones of `items` as one table in memory, in the order of `items`.

    folder: of one encoder; items: manifest rows with `fingerprint`; widths: (D_I, D_T). Items without a split get one
    by their group. Raises InputError when nothing is embedded yet.
    """
    place = locate(folder, items)
    image = np.zeros((items.num_rows, widths[0]), np.float32)
    report = np.zeros((items.num_rows, widths[1]), np.float32)
    has_image, has_report = np.zeros(items.num_rows, bool), np.zeros(items.num_rows, bool)
    text_key = np.full(items.num_rows, "", object)
    for number in np.unique(place.unit[place.unit >= 0]):
        rows = np.flatnonzero(place.unit == number)
        columns = ["image_embedding", "report_embedding", "report_sha256"]
        table = units.read_unit(folder, place.units[number], columns).take(pa.array(place.position[rows]))
        for name, vectors, present in (("image", image, has_image), ("report", report, has_report)):
            column = table[f"{name}_embedding"].combine_chunks()
            there = column.is_valid().to_numpy(zero_copy_only=False)
            vectors[rows[there]] = column.drop_null().flatten().to_numpy().reshape(-1, vectors.shape[1])
            present[rows] = there
        text_key[rows] = [key or "" for key in table["report_sha256"].to_pylist()]
    keep = has_image | has_report
    if not keep.any():
        raise InputError("none of the manifest's items is embedded yet; run jobs/embed.py first")
    labels, names = label_matrix(items["labels"].to_pylist())

    def text(column: str) -> np.ndarray:
        return np.array([value or "" for value in items[column].to_pylist()])

    return EmbeddingTable(
        item_id=text("item_id"),
        image=image,
        report=report,
        has_image=has_image,
        has_report=has_report,
        split=np.array([split or "" for split in with_splits(items)["split"].to_pylist()]),
        group=text("group"),
        study=text("study_id"),
        date=text("date"),
        text_key=text_key.astype(str),
        labels=labels,
        label_names=names,
    ).select(keep)
