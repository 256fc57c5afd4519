"""What a range of keys needs: which items to hash, and which rows of the snapshot before they replace or outlive.

An item is hashed when the snapshot does not hold it, when its files changed, and when only what is shown of it or
filtered on changed: then its stored embedding is hashed once more, and nothing is encoded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mcmfh.archive.order import KeyRange, keys, named_range
from mcmfh.archive.quarantine import quarantine_table
from mcmfh.embeddings.stored import locate
from mcmfh.snapshots import shards

COMPARED = ("study_id", "image_uri", "labels", "date")


@dataclass(frozen=True)
class Compared:
    """wanted: rows to hash with `unit` and `position` of their embeddings, in item order; failed: quarantine rows.

    removed: rows of the snapshot before that must not be found any more, a bitmap for each shard that has some, by the
    digest of its items.
    """

    wanted: pa.Table
    failed: pa.Table
    removed: dict[str, np.ndarray]


def compare(
    root: str,
    items: pa.Table,
    within: KeyRange,
    embeddings: str,
    before: Mapping[str, Any] | None,
    filters: Sequence[str],
    keep_reports: bool,
) -> Compared:
    """Compare a range's manifest `items` with the snapshot `before` (its document; None: there is none to build on)."""
    wanted = np.ones(items.num_rows, bool)
    removed: dict[str, np.ndarray] = {}
    if before:
        # With other columns, or with reports shown that were not (or the reverse), every row is written anew.
        anew = (
            not items.num_rows or before["filters"] != list(filters) or before.get("keep_reports", True) != keep_reports
        )
        bitmap, start = shards.read_bitmap(root, before["tombstones"], before["rows"]), 0
        for document in before["shards"]:
            shard = shards.Shard(**document)
            if within.overlaps(named_range(shard.keys)):
                there = shards.read_items(shards.read_verified(root, "shards", shard.items, "arrow"))
                shown = shards.read_shown(root, shard, ["image_uri", "labels", "date"])
                for name in shown.column_names:
                    if name not in filters:
                        there = there.append_column(name, shown[name])
                live = in_range(there, within) & ~shards.bits_of(bitmap, start, shard.rows)
                same = np.zeros(shard.rows, bool) if anew else live & _same(items, there, filters)
                place = pc.index_in(there["item_id"], value_set=items["item_id"])
                wanted[place.filter(pa.array(same)).to_numpy()] = False
                if (live & ~same).any():
                    removed[shard.items] = np.packbits(live & ~same, bitorder="little")
            start += shard.rows
    items = items.filter(pa.array(wanted))
    place = locate(embeddings, items, within)
    if (place.unit < 0).any():
        raise RuntimeError(f"{int((place.unit < 0).sum())} items have no embedding; run the embedding stage first")
    units = pa.array(place.units, pa.string())
    items = items.append_column("unit", units.take(pa.array(place.unit))).append_column(
        "position", pa.array(place.position)
    )
    lost = items.filter(pa.array(place.failed)).select(["item_id", "row", "fingerprint"])
    lost = lost.rename_columns(["item_id", "row", "digest"]).append_column(
        "reason", place.reason.filter(pa.array(place.failed))
    )
    return Compared(items.filter(pa.array(~place.failed)), quarantine_table(lost.to_pylist()), removed)


def rows_shared(root: str, shard: shards.Shard, other: shards.Shard) -> np.ndarray:
    """bool[rows of shard]: its rows that hold an item of `other`."""
    if not named_range(shard.keys).overlaps(named_range(other.keys)):
        return np.zeros(shard.rows, bool)
    here, there = (
        shards.read_items(shards.read_verified(root, "shards", one.items, "arrow"))["item_id"] for one in (shard, other)
    )
    return pc.is_in(here, value_set=there).to_numpy()


def in_range(there: pa.Table, within: KeyRange) -> np.ndarray:
    """bool[rows]: rows whose item's key is `within`."""
    if within == KeyRange():
        return np.ones(there.num_rows, bool)
    order = keys(there["item_id"])
    return (order >= np.uint64(within.first)) & (order <= np.uint64(within.last))


def _same(items: pa.Table, there: pa.Table, filters: Sequence[str]) -> np.ndarray:
    """bool[rows of there]: `items` holds the row's item with equal fingerprint, filters and shown columns."""
    place = pc.index_in(there["item_id"], value_set=items["item_id"])
    same = pc.equal(there["fingerprint"], items["fingerprint"].take(place))
    for name in (*COMPARED, *filters):
        left, right = _comparable(there[name]), _comparable(items[name]).take(place)
        if left.type != right.type:
            return np.zeros(there.num_rows, bool)
        equal = pc.fill_null(pc.equal(left, right), False)
        same = pc.and_(same, pc.or_(equal, pc.and_(left.is_null(), right.is_null())))
    return pc.fill_null(same, False).to_numpy()


def _comparable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Lists of labels as one string, dictionaries as their values."""
    if pa.types.is_list(column.type):
        return pc.binary_join(column, "\x1f")
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
