"""Selecting the k least keys: the parts that all search kernels share.

A key is `distance << 32 | row`, so that comparing keys compares (distance, row), and rows stand in order of id. A
shortlist collects keys unsorted and sorts only when it is full: cheaper than a heap, which pays at every key.
"""

import numpy as np
from numba import njit, types

from mcmfh.hamming.intrinsics import allocating_part, part

NO_ROW = -1
NO_DISTANCE = 2**31 - 1
SHIFT = np.uint64(32)
ROW = np.uint64(2**32 - 1)
ONE = np.uint64(1)
BYTE = np.uint64(255)
ANY = np.uint64(2**64 - 1)

# Arrays of an index are declared read-only, because a memory-map is. For numba that is a type of its own: not declaring
# it would cost a compilation at the first query.
BYTES = types.Array(types.uint8, 1, "C", readonly=True)
QUERIES = types.Array(types.uint8, 2, "C", readonly=True)
ROWS = types.Array(types.uint32, 1, "C", readonly=True)
DISTANCES_OUT = types.Array(types.int32, 2, "C")
ROWS_OUT = types.Array(types.int64, 2, "C")
_INT32, _INT64 = np.dtype(np.int32), np.dtype(np.int64)


@part
def is_kept(row: int, allowed: np.ndarray, dead: np.ndarray) -> bool:
    """Whether a row passes the filter (one byte a row) and is not removed (one bit a row); empty arrays mean "all"."""
    if allowed.size and not allowed[row]:
        return False
    return not (dead.size and (dead[row >> 3] >> (row & 7)) & 1)


# Has a signature of its own because it allocates, which code compiled within a `part` must not do.
@njit(types.void(types.Array(types.uint64, 1, "C"), types.int64), nogil=True, cache=True)
def sort_keys(keys: np.ndarray, n: int) -> None:
    """Put keys[:n] in ascending order, with keys[n : 2 n] for scratch: radix passes over the bytes that differ."""
    if n <= 32:
        for i in range(1, n):
            key, at = keys[i], i
            while at > 0 and keys[at - 1] > key:
                keys[at] = keys[at - 1]
                at -= 1
            keys[at] = key
        return
    varying = np.uint64(0)
    for i in range(n):
        varying |= keys[i] ^ keys[0]
    counts = np.empty(257, np.uint32)
    source, target = 0, n
    for byte in range(8):
        shift = np.uint64(8 * byte)
        if (varying >> shift) & BYTE == 0:
            continue
        counts[:] = 0
        for i in range(n):
            counts[((keys[source + i] >> shift) & BYTE) + ONE] += np.uint32(1)
        for digit in range(256):
            counts[digit + 1] += counts[digit]
        for i in range(n):
            key = keys[source + i]
            digit = (key >> shift) & BYTE
            keys[target + np.int64(counts[digit])] = key
            counts[digit] += np.uint32(1)
        source, target = target, source
    for i in range(n):
        keys[i] = keys[source + i]


@allocating_part
def new_shortlist(k: int) -> np.ndarray:
    """An empty shortlist for the k least keys: room for keys, as much for sorting, and last the limit of interest."""
    keys = np.empty(4 * max(k, 32) + 1, np.uint64)
    keys[-1] = ANY
    return keys


@part
def offer(keys: np.ndarray, n: int, k: int, key: np.uint64) -> int:
    """Add `key` to a shortlist of n; a full one is cut to its k least, which lowers the limit. Returns the new n."""
    if key >= keys[-1]:
        return n
    keys[n] = key
    n += 1
    if 2 * n == keys.size - 1:
        sort_keys(keys, n)
        keys[-1] = keys[k - 1]
        return k
    return n


@part
def write_answer(keys: np.ndarray, n: int, distances: np.ndarray, rows: np.ndarray) -> None:
    """Sort a shortlist of n, write its k least keys and padding beyond them, and empty it."""
    sort_keys(keys, n)
    keys[-1] = ANY
    for i in range(rows.shape[0]):
        distances[i] = np.int32(keys[i] >> SHIFT) if i < n else NO_DISTANCE
        rows[i] = np.int64(keys[i] & ROW) if i < n else NO_ROW


def empty_answer(queries: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Uninitialised int32 [Q, k] distances and int64 [Q, k] rows."""
    return np.empty((queries, k), _INT32), np.empty((queries, k), _INT64)
