"""What changed between two snapshots of an archive, a range of keys at a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mcmfh.archive.order import KeyRange, key_ranges, named_range
from mcmfh.snapshots import shards
from mcmfh.snapshots.compare import in_range


@dataclass(frozen=True)
class Difference:
    """Items by what became of them. `rewritten`: of equal files; a label, a date, a filter or the model changed."""

    added: int = 0
    removed: int = 0
    changed: int = 0
    rewritten: int = 0
    same: int = 0


def diff(root: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Difference:
    """Compare two snapshots' documents."""
    counts = np.zeros(5, np.int64)
    for within in key_ranges(max(old["rows"], new["rows"]), shards.SHARD_ROWS):
        left, right = (_live(root, document, within) for document in (old, new))
        place = pc.index_in(right["item_id"], value_set=left["item_id"])
        both = place.is_valid().to_numpy()
        match = left.take(place.filter(pa.array(both)))
        right = right.filter(pa.array(both))
        content = pc.equal(right["fingerprint"], match["fingerprint"]).to_numpy()
        row = pc.equal(right["place"], match["place"]).to_numpy()
        counts += [
            (~both).sum(),
            left.num_rows - both.sum(),
            (~content).sum(),
            (content & ~row).sum(),
            (content & row).sum(),
        ]
    return Difference(*counts.tolist())


def _live(root: str, document: Mapping[str, Any], within: KeyRange) -> pa.Table:
    """item_id, fingerprint and place (which row of which shard) of a range's live rows."""
    bitmap, start = shards.read_bitmap(root, document["tombstones"], document["rows"]), 0
    tables = []
    for shard in (shards.Shard(**one) for one in document["shards"]):
        if within.overlaps(named_range(shard.keys)):
            items = shards.read_items(shards.read_verified(root, "shards", shard.items, "arrow"))
            live = in_range(items, within) & ~shards.bits_of(bitmap, start, shard.rows)
            place = pc.binary_join_element_wise(shard.codes, pa.array(np.arange(shard.rows)).cast(pa.string()), ":")
            table = items.select(["item_id", "fingerprint"]).append_column("place", place)
            tables.append(table.filter(pa.array(live)))
        start += shard.rows
    text = pa.string()
    empty = pa.schema([("item_id", text), ("fingerprint", text), ("place", text)]).empty_table()
    return pa.concat_tables([empty, *tables])
