"""What a range of keys needs: the items to hash, and the rows of the previous snapshot to tombstone.

An item is hashed when the previous snapshot does not hold it and when its files changed. It is also hashed when only
its displayed fields or filters changed: then its stored embedding is hashed again, and nothing is encoded.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mcmfh.archive.order import KeyRange, keys, named_range
from mcmfh.archive.quarantine import quarantine_table
from mcmfh.embeddings.stored import Addresses, locate
from mcmfh.snapshots import shards
from mcmfh.snapshots.document import Publication
from mcmfh.snapshots.shards import Shard

DISPLAYED = ("image_uri", "labels", "date")
COMPARED = ("study_id", *DISPLAYED)


@dataclass(frozen=True)
class Compared:
    """wanted: rows to hash with `unit` and `position` of their embeddings, in item order; failed: quarantine rows.

    removed: rows of the previous snapshot to tombstone, a bitmap for each shard that has some, by the digest of the
    shard's items.
    """

    wanted: pa.Table
    failed: pa.Table
    removed: dict[str, np.ndarray]


def compare(publication: Publication, items: pa.Table, within: KeyRange) -> Compared:
    """Compare a range's manifest `items` with the previous snapshot.

    Raises RuntimeError where an item that is to be hashed has not been embedded.
    """
    wanted, removed = _changes(publication, items, within)
    items = items.filter(pa.array(wanted))
    addresses = locate(publication.embeddings, items, within)
    missing = int((addresses.unit < 0).sum())
    if missing:
        raise RuntimeError(f"{missing} items have no embedding; run the embedding stage first")
    units = pa.array(addresses.units, pa.string())
    items = items.append_column("unit", units.take(pa.array(addresses.unit)))
    items = items.append_column("position", pa.array(addresses.position))
    return Compared(items.filter(pa.array(~addresses.failed)), _failures(items, addresses), removed)


def rows_shared(root: str, shard: Shard, other: Shard) -> np.ndarray:
    """bool[rows of shard]: its rows that hold an item of `other`."""
    if not named_range(shard.keys).overlaps(named_range(other.keys)):
        return np.zeros(shard.rows, bool)
    own, others = (shards.read_items(root, each)["item_id"] for each in (shard, other))
    shared: np.ndarray = pc.is_in(own, value_set=others).to_numpy()
    return shared


def in_range(rows: pa.Table, within: KeyRange) -> np.ndarray:
    """bool[rows]: rows whose item's key is `within`."""
    if within == KeyRange():
        return np.ones(rows.num_rows, bool)
    key = keys(rows["item_id"])
    return np.logical_and(key >= np.uint64(within.first), key <= np.uint64(within.last))


def _changes(publication: Publication, items: pa.Table, within: KeyRange) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """(bool[rows of items]: to be hashed, rows of the previous snapshot to tombstone)."""
    wanted = np.ones(items.num_rows, bool)
    removed: dict[str, np.ndarray] = {}
    root, previous, filters = publication.root, publication.previous, publication.filters
    if previous is None:
        return wanted, removed
    # With other filter columns, or with report texts switched on or off, every row is written anew.
    kept_alike = (previous.filters, previous.keep_reports) == (filters, publication.keep_reports)
    bitmap, start = shards.read_bitmap(root, previous.tombstones, previous.rows), 0
    for shard in previous.shards:
        if within.overlaps(named_range(shard.keys)):
            rows = shards.read_items(root, shard)
            displayed = shards.read_shown(root, shard, DISPLAYED)
            for name in displayed.column_names:
                if name not in filters:
                    rows = rows.append_column(name, displayed[name])
            live = in_range(rows, within) & ~shards.bits_of(bitmap, start, shard.rows)
            comparable = kept_alike and items.num_rows
            same = live & _same(items, rows, filters) if comparable else np.zeros(shard.rows, bool)
            item = pc.index_in(rows["item_id"], value_set=items["item_id"])
            wanted[item.filter(pa.array(same)).to_numpy()] = False
            if (live & ~same).any():
                removed[shard.items] = shards.pack_bits(live & ~same)
        start += shard.rows
    return wanted, removed


def _failures(items: pa.Table, addresses: Addresses) -> pa.Table:
    """Quarantine rows of the items that could not be embedded."""
    failed = pa.array(addresses.failed)
    rows = items.filter(failed).select(["item_id", "row", "fingerprint"])
    rows = rows.rename_columns(["item_id", "row", "digest"])
    return quarantine_table(rows.append_column("reason", addresses.reason.filter(failed)).to_pylist())


def _same(items: pa.Table, rows: pa.Table, filters: Sequence[str]) -> np.ndarray:
    """bool[rows]: `items` holds the row's item with equal fingerprint, filters and displayed columns."""
    item = pc.index_in(rows["item_id"], value_set=items["item_id"])
    same = pc.equal(rows["fingerprint"], items["fingerprint"].take(item))
    for name in (*COMPARED, *filters):
        left, right = _comparable(rows[name]), _comparable(items[name]).take(item)
        if left.type != right.type:
            return np.zeros(rows.num_rows, bool)
        equal = pc.fill_null(pc.equal(left, right), False)
        same = pc.and_(same, pc.or_(equal, pc.and_(left.is_null(), right.is_null())))
    result: np.ndarray = pc.fill_null(same, False).to_numpy()
    return result


def _comparable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Lists of labels as one string, dictionaries as their values."""
    if pa.types.is_list(column.type):
        return pc.binary_join(column, "\x1f")
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
