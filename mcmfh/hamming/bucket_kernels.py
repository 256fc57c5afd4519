"""The kernels of the bucket table: which buckets lie on a ring, and what to take from them.

`table` is uint32: 2**bits + 1 offsets, then the rows by (code, row). `occupied` lists the codes in use, uint16
[1 or 2, D]. A kernel meeting a row outside the index says so; nothing read from a file is used as an address untested.
"""

import numpy as np
from numba import types

from mcmfh.hamming.intrinsics import allocating_part, part, popcount, trailing_zeros
from mcmfh.hamming.selection import (
    BYTES,
    DISTANCES_OUT,
    QUERIES,
    ROWS,
    ROWS_OUT,
    SHIFT,
    is_kept,
    new_shortlist,
    offer,
    write_answer,
)

_OCCUPIED = types.Array(types.uint16, 2, "C", readonly=True)
# Popcounts of the occupied-list pass that take as long as one step of the ring walk.
_STEP = 24
_CHUNK = 64


@part
def _code(codes, i):
    value = np.int64(codes[i, 0])
    for byte in range(1, codes.shape[1]):
        value |= np.int64(codes[i, byte]) << (8 * byte)
    return value


@allocating_part
def _scratch(occupied, bits):
    # Room for the buckets of the widest ring, and for the distance of each occupied bucket, in whole chunks.
    widest = 1
    for r in range(bits // 2):
        widest = widest * (bits - r) // (r + 1)
    whole = (occupied.shape[1] + _CHUNK - 1) // _CHUNK * _CHUNK
    return np.empty(min(widest, occupied.shape[1]), np.uint32), np.empty(whole, np.uint8)


@part
def _walk_ring(table, bits, query, r, buckets):
    # The masks of r bits in ascending order: each follows from the one before by Gosper's rule.
    count, mask = 0, np.uint64((1 << r) - 1)
    while mask < np.uint64(1 << bits):
        bucket = query ^ np.int64(mask)
        if table[bucket] != table[bucket + 1]:
            buckets[count] = bucket
            count += 1
        if r == 0:
            break
        low = trailing_zeros(mask)
        carried = mask + (np.uint64(1) << low)
        mask = carried | ((mask ^ carried) >> (low + np.uint64(2)))
    return count


@part
def _occupied_distances(occupied, query, far):
    n, low, high = occupied.shape[1], np.uint16(query & 0xFFFF), np.uint16(query >> 16)
    nearest = np.uint8(255)
    far[n:] = 255
    if occupied.shape[0] == 1:
        for j in range(n):
            far[j] = popcount(np.uint16(occupied[0, j] ^ low))
            nearest = min(nearest, far[j])
    else:
        for j in range(n):
            far[j] = popcount(np.uint16(occupied[0, j] ^ low)) + popcount(np.uint16(occupied[1, j] ^ high))
            nearest = min(nearest, far[j])
    return np.int64(nearest)


@part
def _pass_ring(occupied, far, r, buckets):
    count, ring = 0, np.uint8(r)
    for start in range(0, far.shape[0], _CHUNK):
        chunk, least = far[start : start + _CHUNK], np.uint8(255)
        for j in range(_CHUNK):
            least = min(least, np.uint8(chunk[j] ^ ring))
        if least == 0:
            for j in range(_CHUNK):
                if chunk[j] == ring:
                    bucket = np.uint32(occupied[0, start + j])
                    if occupied.shape[0] > 1:
                        bucket |= np.uint32(occupied[1, start + j]) << np.uint32(16)
                    buckets[count] = bucket
                    count += 1
    return count


def build(codes, bits, table):
    # A counting sort. Offsets are counted two places ahead, so that filling advances them to where they belong.
    size, n = 1 << bits, codes.shape[0]
    base = size + 1
    table[:base] = 0
    for i in range(n):
        bucket = _code(codes, i)
        if bucket + 2 <= size:
            table[bucket + 2] += 1
    for bucket in range(2, base):
        table[bucket] += table[bucket - 1]
    for i in range(n):
        bucket = _code(codes, i)
        table[base + table[bucket + 1]] = i
        table[bucket + 1] += 1


def search(table, occupied, bits, queries, allowed, dead, radius, distances, rows):
    """Fills distances and rows; True if a row lies outside the index."""
    base, n, k = (1 << bits) + 1, table.shape[0] - (1 << bits) - 1, rows.shape[1]
    keys = new_shortlist(k)
    buckets, far = _scratch(occupied, bits)
    for i in range(queries.shape[0]):
        query = _code(queries, i)
        have, ring, passed, nearest = 0, 1, False, 0
        for r in range(radius + 1):
            if not passed and r > 0 and ring * _STEP > occupied.shape[1]:
                passed, nearest = True, _occupied_distances(occupied, query, far)
            ring = ring * (bits - r) // (r + 1)
            if r < nearest:
                continue
            count = _pass_ring(occupied, far, r, buckets) if passed else _walk_ring(table, bits, query, r, buckets)
            for b in range(count):
                first, last = table[buckets[b]], table[buckets[b] + 1]
                for at in range(first, last):
                    row = np.int64(table[base + at])
                    if row >= n:
                        return True
                    key = np.uint64(r) << SHIFT | np.uint64(row)
                    if key >= keys[-1]:
                        break
                    if is_kept(row, allowed, dead):
                        have = offer(keys, have, k, key)
                        if have == k and count == 1:  # its rows ascend, and no other bucket can come before it
                            break
            if have >= k:
                break
        write_answer(keys, have, distances[i], rows[i])
    return False


BUILD = types.void(QUERIES, types.int64, types.Array(types.uint32, 1, "C"))
SEARCH = types.boolean(ROWS, _OCCUPIED, types.int64, QUERIES, BYTES, BYTES, types.int64, DISTANCES_OUT, ROWS_OUT)
