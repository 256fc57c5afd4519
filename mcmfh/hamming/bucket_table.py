"""Exact search over codes of at most 22 bits: the items of one code share a bucket.

A query walks the buckets at Hamming distance 0, 1, 2 … from its own code and stops when it has k items, so that the
cost depends on the distance of the k-th neighbour and not on N. Where most codes are unused, these rings are wide and
empty, and one popcount pass over the list of occupied buckets is cheaper. The walk compares both costs before every
ring.

Memory: 4 bytes an item and 4 bytes a code. An item's code is implied by its bucket.
"""

import numpy as np

from mcmfh.errors import InputError
from mcmfh.hamming import bucket_kernels
from mcmfh.hamming.codes import code_bytes, planes
from mcmfh.hamming.intrinsics import compiled
from mcmfh.hamming.selection import empty_answer

MAX_BITS = 22


class BucketTable:
    """Codes of at most 22 bits as one uint32 array: 2**bits + 1 offsets, then the rows, by (code, row)."""

    def __init__(self, table: np.ndarray, bits: int):
        """Wrap a table without copying it. Raises InputError unless its offsets are sound; searches check the rows."""
        self.bits, self.table = bits, table
        self._search = compiled(bucket_kernels.search, bucket_kernels.SEARCH)
        offsets = table[: (1 << bits) + 1]
        self.rows = len(table) - len(offsets)
        if (
            len(offsets) != (1 << bits) + 1
            or offsets[0]
            or offsets[-1] != self.rows
            or (offsets[1:] < offsets[:-1]).any()
        ):
            raise InputError("the index is damaged: its bucket offsets are not in order; build it again")
        occupied = np.flatnonzero(offsets[1:] != offsets[:-1]).astype("<u4")
        self.occupied = planes(occupied.view(np.uint8).reshape(-1, 4)[:, : 2 if bits <= 16 else 4], np.uint16)

    @classmethod
    def build(cls, codes: np.ndarray, bits: int) -> "BucketTable":
        """From uint8 [N, B] codes, in two passes and without another copy of them."""
        table = np.empty((1 << bits) + 1 + len(codes), np.uint32)
        compiled(bucket_kernels.build, bucket_kernels.BUILD)(codes, bits, table)
        return cls(table, bits)

    @property
    def derived_nbytes(self) -> int:
        """Bytes of the list of occupied buckets, which is not part of the table."""
        return self.occupied.nbytes

    def search(
        self, queries: np.ndarray, k: int, allowed: np.ndarray, dead: np.ndarray, radius: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k least (distance, row) up to `radius` of each uint8 [Q, B] query: int32 and int64 [Q, k]."""
        distances, rows = empty_answer(len(queries), k)
        if self._search(self.table, self.occupied, self.bits, queries, allowed, dead, radius, distances, rows):
            raise InputError("the index is damaged: a row lies outside it; build it again")
        return distances, rows

    def codes(self) -> np.ndarray:
        """uint8 [N, B]: the codes in row order, read back from the buckets."""
        counts = np.diff(self.table[: (1 << self.bits) + 1])
        values = np.zeros(self.rows, "<u4")  # zeros, because a damaged file may lack a row
        rows = self.table[(1 << self.bits) + 1 :]
        if rows.max(initial=0) >= max(self.rows, 1):
            raise InputError("the index is damaged: a row lies outside it; build it again")
        values[rows] = np.repeat(np.arange(1 << self.bits, dtype=np.uint32), counts)
        return np.ascontiguousarray(values.view(np.uint8).reshape(-1, 4)[:, : code_bytes(self.bits)])
