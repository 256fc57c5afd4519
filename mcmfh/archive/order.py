"""The order of items: by sha256(item_id), so that equal key ranges hold about equally many items.

A key is the first 64 bits of that hash. One process works on one range of keys at a time. Items with equal keys are
ordered by item_id.
"""

import hashlib
import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True)
class KeyRange:
    """Keys from `first` to `last`, both inclusive."""

    first: int = 0
    last: int = 2**64 - 1

    def overlaps(self, other: "KeyRange") -> bool:
        return self.first <= other.last and other.first <= self.last

    def __str__(self) -> str:
        return f"{self.first:016x}-{self.last:016x}"


def key_ranges(rows: int, most: int) -> list[KeyRange]:
    """The key space cut into a power of two of equal ranges, each with at most about `most` of the `rows` items."""
    count = 1
    while rows > count * most:
        count *= 2
    width = 2**64 // count
    return [KeyRange(i * width, (i + 1) * width - 1) for i in range(count)]


def named_range(name: str) -> KeyRange:
    """The key range at the beginning of a name; the whole key space where the name does not begin with one."""
    match = re.match(r"([0-9a-f]{16})-([0-9a-f]{16})", name)
    return KeyRange(int(match[1], 16), int(match[2], 16)) if match else KeyRange()


def keys(ids: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """uint64[N] keys of N item_ids (no nulls)."""
    heads = b"".join(hashlib.sha256(item.encode()).digest()[:8] for item in ids.to_pylist())
    return np.frombuffer(heads, ">u8").astype(np.uint64)


def in_order(table: pa.Table) -> pa.Table:
    """`table`, which has the column item_id, sorted into item order."""
    ids = table["item_id"]
    return table.take(
        pc.sort_indices(pa.table({"key": keys(ids), "id": ids}), [("key", "ascending"), ("id", "ascending")])
    )
