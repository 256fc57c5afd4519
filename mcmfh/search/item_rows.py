"""item_id → row in constant time: a hash table of rows, built once a node and memory-mapped.

The file is uint32 [2^b + 2 + n]: first the offset of each bucket, then the n live rows, ordered by (top b bits of the
hash of the item_id, row). A bucket holds about two rows. The table stores no ids and no hashes: a lookup compares the
item_id at each row of its bucket, so that the answer is exact.
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


def _hash(offsets: np.ndarray, data: np.ndarray, hashes: np.ndarray) -> None:
    # FNV-1a. Buckets are its top bits, so splitmix64 mixes the bits at the end.
    for i in range(hashes.shape[0]):
        h = np.uint64(0xCBF29CE484222325)
        for at in range(offsets[i], offsets[i + 1]):
            h = (h ^ np.uint64(data[at])) * np.uint64(0x100000001B3)
        h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        hashes[i] = h ^ (h >> np.uint64(31))


def _count(hashes: np.ndarray, live: np.ndarray, bits: int, table: np.ndarray) -> None:
    for i in range(hashes.shape[0]):
        if live[i]:
            table[np.int64(hashes[i] >> np.uint64(64 - bits)) + 2] += np.uint32(1)


def _fill(hashes: np.ndarray, live: np.ndarray, bits: int, start: int, table: np.ndarray) -> None:
    # table[b + 1] begins as the offset of bucket b and ends as the offset of bucket b + 1, which is what it must hold.
    base = (1 << bits) + 2
    for i in range(hashes.shape[0]):
        if live[i]:
            at = np.int64(hashes[i] >> np.uint64(64 - bits)) + 1
            table[base + table[at]] = np.uint32(start + i)
            table[at] += np.uint32(1)


def string_hashes(strings: pa.Array) -> np.ndarray:
    """uint64 [n] of a string array without nulls."""
    wide = pa.types.is_large_string(strings.type)
    _, offsets, data = strings.buffers()
    starts = np.frombuffer(offsets, np.int64 if wide else np.int32)[strings.offset : strings.offset + len(strings) + 1]
    hashes = np.empty(len(strings), np.uint64)
    kernel = compiled(_hash, types.void(_OFFSETS, _BYTES, _HASHES))
    kernel(starts.astype(np.int64), np.frombuffer(data or b"\0", np.uint8), hashes)
    return hashes


def bucket_bits(rows: int) -> int:
    """b, for a table of so many rows."""
    return max(1, (rows // 2).bit_length())


def write_item_rows(path: Path, items: MappedRows, live: np.ndarray) -> None:
    """Write the table of those rows of `items` that are `live` (bool [rows]), batch by batch, into a mapped file."""
    count = int(live.sum())
    bits = bucket_bits(count)
    file = np.lib.format.open_memmap(path, "w+", np.uint32, ((1 << bits) + 2 + count,))
    table, live_bytes = np.asarray(file), live.view(np.uint8)
    count_rows = compiled(_count, types.void(_HASHES, _BYTES, types.int64, _TABLE))
    fill_rows = compiled(_fill, types.void(_HASHES, _BYTES, types.int64, types.int64, _TABLE))
    for start, ids in items.column("item_id"):
        count_rows(string_hashes(ids), live_bytes[start : start + len(ids)], bits, table)
    np.cumsum(table[: (1 << bits) + 2], out=table[: (1 << bits) + 2])
    for start, ids in items.column("item_id"):
        fill_rows(string_hashes(ids), live_bytes[start : start + len(ids)], bits, start, table)
    file.flush()


class ItemRows:
    """The table at `path` of the `count` live rows of `items`."""

    def __init__(self, path: Path, items: MappedRows, count: int):
        self.items, self.bits = items, bucket_bits(count)
        self.table = np.load(path, mmap_mode="r", allow_pickle=False)

    def row(self, item_id: str) -> int | None:
        """The live row of an item, or None."""
        try:
            item_hash = string_hashes(pa.array([item_id], pa.string()))[0]
        except UnicodeEncodeError:  # no item_id holds a lone surrogate
            return None
        bucket, base = int(item_hash) >> (64 - self.bits), (1 << self.bits) + 2
        first, last = map(int, self.table[bucket : bucket + 2])
        for row in map(int, self.table[base + first : base + last]):
            if self.items.value("item_id", row) == item_id:
                return row
        return None
