"""Stored embeddings joined with a manifest: the table that training and evaluation read."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mcmfh.archive.order import KeyRange
from mcmfh.archive.splits import with_splits
from mcmfh.embeddings import units
from mcmfh.embeddings.table import EmbeddingTable, label_matrix
from mcmfh.errors import InputError

_KEYS = pa.schema([(name, pa.string()) for name in ("item_id", "fingerprint", "reason", "note")])


@dataclass(frozen=True)
class Addresses:
    """Where the items' embeddings are stored: in row `position[i]` of unit `units[unit[i]]`; unit -1: not embedded yet.

    `reason[i]` says why an item could not be embedded; it is null where it could. Only changed files change that.
    `note[i]` says what had to be done to show its picture.
    `earlier_unit` and `earlier_position` address the embedding that the item had under another fingerprint.
    """

    units: list[str]
    unit: np.ndarray  # int64[N]
    position: np.ndarray  # int64[N]
    reason: pa.ChunkedArray  # string[N]
    note: pa.ChunkedArray  # string[N]
    earlier_unit: np.ndarray  # int64[N]
    earlier_position: np.ndarray  # int64[N]

    @property
    def failed(self) -> np.ndarray:
        """bool[N]: the item was read and could not be used."""
        failed: np.ndarray = self.reason.is_valid().to_numpy()
        return failed


def locate(folder: str, items: pa.Table, within: KeyRange | None = None) -> Addresses:
    """The addresses of `items` (item_id, fingerprint; all of the range `within`) among an embeddings folder's units.

    An item that was embedded more than once has the address of its last success by unit name, else of its last failure.
    """
    names = units.done_units(folder, within) if items.num_rows else []
    tables = list(units.read_units(folder, names, _KEYS.names))
    number = np.repeat(np.arange(len(tables)), [table.num_rows for table in tables]).astype(np.int64)
    position = np.concatenate([np.zeros(0, np.int64), *(np.arange(table.num_rows) for table in tables)])
    stored = pa.concat_tables([_KEYS.empty_table(), *tables])
    item = pc.index_in(stored["item_id"], value_set=items["item_id"])
    same = pc.equal(stored["fingerprint"], items["fingerprint"].take(item))
    good = stored["reason"].is_null().to_numpy()
    # Row -1 stands for "nowhere", and indexes the last of each.
    number, position = np.append(number, -1), np.append(position, 0)

    def last(candidates: np.ndarray) -> np.ndarray:
        """int64[N]: each item's preferred row among the candidates, bool[rows]; -1 where it has none."""
        rows = np.flatnonzero(candidates)
        rows = rows[np.argsort(good[rows], kind="stable")]
        row = np.full(items.num_rows, -1)
        row[item.to_numpy()[rows].astype(np.int64)] = rows
        return row

    row = last(pc.fill_null(same, False).to_numpy())
    earlier = last(pc.fill_null(pc.invert(same), False).to_numpy() & good)
    reason, note = (stored[name].take(pa.array(row, mask=row < 0)) for name in ("reason", "note"))
    return Addresses(names, number[row], position[row], reason, note, number[earlier], position[earlier])


def load_embeddings(folder: str, items: pa.Table, widths: tuple[int, int]) -> EmbeddingTable:
    """The embedded, unquarantined ones of `items` as one table in memory, in the order of `items`.

    folder: of one encoder; items: manifest rows with `fingerprint`; widths: (D_I, D_T). Items without a split get one
    by their group. Raises InputError when nothing is embedded yet.
    """
    addresses = locate(folder, items)
    image = np.zeros((items.num_rows, widths[0]), np.float32)
    report = np.zeros((items.num_rows, widths[1]), np.float32)
    has_image, has_report = np.zeros(items.num_rows, bool), np.zeros(items.num_rows, bool)
    text_key, image_key = (np.full(items.num_rows, "", object) for _ in range(2))
    for number in np.unique(addresses.unit[addresses.unit >= 0]):
        rows = np.flatnonzero(addresses.unit == number)
        columns = ["image_embedding", "report_embedding", "report_sha256", "image_sha256"]
        table = units.read_unit(folder, addresses.units[number], columns).take(pa.array(addresses.position[rows]))
        for name, vectors, present in (("image", image, has_image), ("report", report, has_report)):
            column = table[f"{name}_embedding"].combine_chunks()
            embedded = column.is_valid().to_numpy(zero_copy_only=False)
            vectors[rows[embedded]] = column.drop_null().flatten().to_numpy().reshape(-1, vectors.shape[1])
            present[rows] = embedded
        for keys, column in ((text_key, "report_sha256"), (image_key, "image_sha256")):
            keys[rows] = [key or "" for key in table[column].to_pylist()]
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
        image_key=image_key.astype(str),
    ).select(keep)
