"""What changed between two snapshots of an archive, a range of keys at a time."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mcmfh.archive.order import KeyRange, key_ranges, named_range
from mcmfh.snapshots import shards
from mcmfh.snapshots.compare import in_range
from mcmfh.snapshots.document import SnapshotDocument


@dataclass(frozen=True)
class Difference:
    """Items by what became of them. `rewritten`: equal files, but another label, date, filter or model."""

    added: int = 0
    removed: int = 0
    changed: int = 0
    rewritten: int = 0
    same: int = 0


def diff(root: str, old: SnapshotDocument, new: SnapshotDocument) -> Difference:
    """Compare two snapshots' documents."""
    counts = np.zeros(5, np.int64)
    for within in key_ranges(max(old.rows, new.rows), shards.SHARD_ROWS):
        left, right = (_live(root, document, within) for document in (old, new))
        row_in_left = pc.index_in(right["item_id"], value_set=left["item_id"])
        both = row_in_left.is_valid().to_numpy()
        match = left.take(row_in_left.filter(pa.array(both)))
        right = right.filter(pa.array(both))
        content = pc.equal(right["fingerprint"], match["fingerprint"]).to_numpy()
        row = pc.equal(right["address"], match["address"]).to_numpy()
        counts += [
            (~both).sum(),
            left.num_rows - both.sum(),
            (~content).sum(),
            (content & ~row).sum(),
            (content & row).sum(),
        ]
    return Difference(*counts.tolist())


def _live(root: str, document: SnapshotDocument, within: KeyRange) -> pa.Table:
    """item_id, fingerprint and address (shard and row in it) of a range's live rows."""
    bitmap, start = shards.read_bitmap(root, document.tombstones, document.rows), 0
    tables = []
    for shard in document.shards:
        if within.overlaps(named_range(shard.keys)):
            items = shards.read_items(root, shard)
            live = in_range(items, within) & ~shards.bits_of(bitmap, start, shard.rows)
            address = pc.binary_join_element_wise(shard.codes, pa.array(np.arange(shard.rows)).cast(pa.string()), ":")
            table = items.select(["item_id", "fingerprint"]).append_column("address", address)
            tables.append(table.filter(pa.array(live)))
        start += shard.rows
    text = pa.string()
    empty = pa.schema([("item_id", text), ("fingerprint", text), ("address", text)]).empty_table()
    return pa.concat_tables([empty, *tables])
