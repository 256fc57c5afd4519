"""The order of items: by sha256(item_id), whatever they are called, so that equal ranges of it hold equal shares.

A key is the first 64 bits of that hash. A range of keys is what one process works on at a time; items of equal keys
stand in the order of their item_ids.
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
    """The key space cut into a power of two of ranges, of at most about `most` of `rows` items each."""
    count = 1
    while rows > count * most:
        count *= 2
    width = 2**64 // count
    return [KeyRange(i * width, (i + 1) * width - 1) for i in range(count)]


def named_range(name: str) -> KeyRange:
    """The range that a name begins with; the whole space where it begins with none."""
    found = re.match(r"([0-9a-f]{16})-([0-9a-f]{16})", name)
    return KeyRange(int(found[1], 16), int(found[2], 16)) if found else KeyRange()


def keys(ids: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """uint64[N]: the keys of N item_ids (strings without null)."""
    heads = b"".join(hashlib.sha256(item.encode()).digest()[:8] for item in ids.to_pylist())
    return np.frombuffer(heads, ">u8").astype(np.uint64)


def in_order(table: pa.Table) -> pa.Table:
    """`table` (with item_id) in item order."""
    ids = table["item_id"]
    return table.take(
        pc.sort_indices(pa.table({"key": keys(ids), "id": ids}), [("key", "ascending"), ("id", "ascending")])
    )
