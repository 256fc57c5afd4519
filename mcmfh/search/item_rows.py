"""item_id → row in constant time: a table of rows by the hash of their item's id, derived once a node and mapped.

uint32 [2^b + 2 + n]: where each bucket begins, then the n live rows by (top b bits of the hash, row); about two rows a
bucket. It holds no ids and no hashes: whoever looks up compares the id at each row of the bucket, so the answer is
exact.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
from numba import types

from mcmfh.hamming.intrinsics import compiled
from mcmfh.search.mapped import MappedRows

_BYTES = types.Array(types.uint8, 1, "C", readonly=True)
_OFFSETS = types.Array(types.int64, 1, "C", readonly=True)
_HASHES = types.Array(types.uint64, 1, "C")
_TABLE = types.Array(types.uint32, 1, "C")


def _hash(offsets, data, hashes):
    # FNV-1a, its bits mixed at the end (splitmix64) because buckets are its top bits.
    for i in range(hashes.shape[0]):
        h = np.uint64(0xCBF29CE484222325)
        for at in range(offsets[i], offsets[i + 1]):
            h = (h ^ np.uint64(data[at])) * np.uint64(0x100000001B3)
        h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        hashes[i] = h ^ (h >> np.uint64(31))


def _count(hashes, live, bits, table):
    for i in range(hashes.shape[0]):
        if live[i]:
            table[np.int64(hashes[i] >> np.uint64(64 - bits)) + 2] += np.uint32(1)


def _place(hashes, live, bits, start, table):
    # table[b + 1] runs from where bucket b begins to where it ends, which is where it is wanted.
    base = (1 << bits) + 2
    for i in range(hashes.shape[0]):
        if live[i]:
            at = np.int64(hashes[i] >> np.uint64(64 - bits)) + 1
            table[base + table[at]] = np.uint32(start + i)
            table[at] += np.uint32(1)


def hashes(strings: pa.Array) -> np.ndarray:
    """uint64 [n] of a string array without nulls."""
    wide = pa.types.is_large_string(strings.type)
    _, offsets, data = strings.buffers()
    starts = np.frombuffer(offsets, np.int64 if wide else np.int32)[strings.offset : strings.offset + len(strings) + 1]
    found = np.empty(len(strings), np.uint64)
    kernel = compiled(_hash, types.void(_OFFSETS, _BYTES, _HASHES))
    kernel(starts.astype(np.int64), np.frombuffer(data or b"\0", np.uint8), found)
    return found


def bucket_bits(rows: int) -> int:
    """b of the table of so many rows."""
    return max(1, (rows // 2).bit_length())


def write_names(path: Path, items: MappedRows, live: np.ndarray) -> None:
    """Write the table of the rows of `items` that are `live` (bool [rows]), stretch by stretch, into a mapped file."""
    count = int(live.sum())
    bits = bucket_bits(count)
    file = np.lib.format.open_memmap(path, "w+", np.uint32, ((1 << bits) + 2 + count,))
    table, alive = np.asarray(file), live.view(np.uint8)
    counting = compiled(_count, types.void(_HASHES, _BYTES, types.int64, _TABLE))
    placing = compiled(_place, types.void(_HASHES, _BYTES, types.int64, types.int64, _TABLE))
    for start, ids in items.column("item_id"):
        counting(hashes(ids), alive[start : start + len(ids)], bits, table)
    np.cumsum(table[: (1 << bits) + 2], out=table[: (1 << bits) + 2])
    for start, ids in items.column("item_id"):
        placing(hashes(ids), alive[start : start + len(ids)], bits, start, table)
    file.flush()


class Names:
    """The table at `path` of the `count` live rows of `items`."""

    def __init__(self, path: Path, items: MappedRows, count: int):
        self.items, self.bits = items, bucket_bits(count)
        self.table = np.load(path, mmap_mode="r", allow_pickle=False)

    def row(self, item_id: str) -> int | None:
        """The live row of an item, or None."""
        try:
            found = hashes(pa.array([item_id], pa.string()))
        except UnicodeEncodeError:  # a lone surrogate: the name of nothing
            return None
        bucket, base = int(found[0]) >> (64 - self.bits), (1 << self.bits) + 2
        first, last = self.table[bucket : bucket + 2].tolist()
        for row in self.table[base + first : base + last].tolist():
            if self.items.value("item_id", row) == item_id:
                return row
        return None
