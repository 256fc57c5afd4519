"""The kernel of multi-index hashing: which ring of which table comes next, and what stands in its buckets.

m tables, table t keyed by bits 16 t … 16 t + 15. ring[t] counts the rings of table t that are done, so an item not met
yet differs from the query in at least ring[t] bits of every key: in at least sum(ring) bits altogether. The search is
over when that sum exceeds the k-th distance. The pigeonhole bound of Norouzi, Punjani and Fleet (2012) is the case of
rings taken in turn; here the next ring is the cheapest one, by the number of items that stand in its buckets.
"""

from typing import Any

import numpy as np
from numba import from_dtype, types

from mcmfh.hamming.intrinsics import part, popcount, prefetch
from mcmfh.hamming.scan import distance_to, lower, query_word
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

KEY_BITS = 16
LAST_RING = 17
CHUNK = 32
# Buckets ahead of the one being read whose memory is asked for: a miss costs as much as a hundred candidates.
_AHEAD = 4
# Cache lines of it to ask for; the processor's own prefetcher follows from there.
_LINES = 16
# Share of a scan's cost that is spent without asking whether a scan would be cheaper: before, too little is known.
_UNASKED = 0.05


@part
def _ring_items(offsets, masks, starts, t, key, ring):
    items = np.int64(0)
    for j in range(starts[ring], starts[ring + 1]):
        bucket = np.int64(key ^ masks[j])
        items += np.int64(offsets[t, bucket + 1]) - np.int64(offsets[t, bucket])
    return items


@part
def _fetch_bucket(offsets, rest, t, bucket):
    others, line = offsets.shape[0] - 1, 32
    first, end = others * np.int64(offsets[t, bucket]), others * np.int64(offsets[t, bucket + 1])
    for at in range(first, min(end, first + _LINES * line), line):
        prefetch(rest, t * rest.shape[1] + at)


@part
def _ones(x, a, j):
    # In 16 bits throughout: a wider sum would halve the lanes of the vector unit.
    return popcount(np.uint16(x[j] ^ a))


@part
def _chunk_distances(rest, t, at, stride, others, keys, far):
    # Distances of CHUNK candidates outside the key of their table; whole chunks, even beyond the bucket's end. Three
    # planes, those of 64 bits, stay in registers; more are added three at a time.
    least = np.uint16(2**15)
    if others == 3:
        x, y, z = rest[t, at:], rest[t, at + stride :], rest[t, at + 2 * stride :]
        a, b, c = keys[t, 0], keys[t, 1], keys[t, 2]
        for j in range(CHUNK):
            far[j] = np.uint16(np.uint16(_ones(x, a, j) + _ones(y, b, j)) + _ones(z, c, j))
            least = min(least, far[j])
        return np.int64(least)
    x, a = rest[t, at:], keys[t, 0]
    for j in range(CHUNK):
        far[j] = _ones(x, a, j)
    head = 1 + (others - 1) % 3
    for p in range(1, head):
        x, a = rest[t, at + p * stride :], keys[t, p]
        for j in range(CHUNK):
            far[j] = np.uint16(far[j] + _ones(x, a, j))
    for p in range(head, others, 3):
        x, y, z = rest[t, at + p * stride :], rest[t, at + (p + 1) * stride :], rest[t, at + (p + 2) * stride :]
        a, b, c = keys[t, p], keys[t, p + 1], keys[t, p + 2]
        for j in range(CHUNK):
            far[j] = np.uint16(np.uint16(far[j] + _ones(x, a, j)) + np.uint16(_ones(y, b, j) + _ones(z, c, j)))
    for j in range(CHUNK):
        least = min(least, far[j])
    return np.int64(least)


@part
def _first_met(words, query, row, t, ring):
    # Whether no ring done so far, of another table, has shown this row already. The table's own earlier rings cannot.
    size = words.itemsize * 8
    for u in range(ring.size):
        if u != t and ring[u]:  # a table no ring of which is done has shown nothing; its key is far away in memory
            word, shift = u * KEY_BITS // size, u * KEY_BITS % size
            differing = (np.uint64(words[word, row]) ^ np.uint64(query[0, word])) >> np.uint64(shift)
            if np.int64(popcount(differing & np.uint64(0xFFFF))) < ring[u]:
                return False
    return True


@part
def _expected_reach(counts, unmet, ring, k, most):
    # The distance up to which k items are to be expected: those found, each divided by the chance of having been found.
    expected = 0.0
    for distance in range(most + 1):
        if counts[0, distance]:
            missed = 1.0
            for t in range(ring.size):
                missed *= unmet[distance, ring[t]]
            expected += counts[0, distance] / max(1.0 - missed, 1e-9)
            if expected >= k:
                return distance
    return most


@part
def _cost_to_reach(distance, ring, cost, ring_then, cost_then):
    # What the cheapest rings will cost until everything up to `distance` has been met.
    total, bound = 0.0, 0
    for t in range(ring.size):
        ring_then[t], cost_then[t] = ring[t], cost[t]
        bound += ring[t]
    while bound <= distance:
        t = int(np.argmin(cost_then))
        total += cost_then[t]
        cost_then[t] *= (KEY_BITS - ring_then[t]) / (ring_then[t] + 1.0)
        ring_then[t] += 1
        bound += 1
        if ring_then[t] == LAST_RING:
            break
    return total


def search(
    words,
    offsets,
    rows,
    rest,
    masks,
    starts,
    unmet,
    costs,
    queries,
    allowed,
    dead,
    radius,
    distances,
    found,
    fallen,
    work,
):
    """The k least (distance, row) within radius [Q] of each query, but for those listed in `fallen`.

    costs: [time of a bucket, time of a candidate, time of a scan]. Queries that a scan answers sooner are listed in
    `fallen`, and their radius is cut to the k-th distance known. `work` [2] counts buckets and candidates.
    Returns how many have fallen, or -1 if the index is damaged.
    """
    tables, n, k = offsets.shape[0], words.shape[1], found.shape[1]
    inline = rest.shape[1] > 0
    keys = new_shortlist(k)
    counts = np.empty((1, KEY_BITS * tables + 2), np.int64)
    key, others = np.empty(tables, np.uint16), np.empty((tables, max(1, tables - 1)), np.uint16)
    query = np.empty((1, words.shape[0]), words.dtype)
    ring, items, cost = np.empty(tables, np.int64), np.empty(tables, np.int64), np.empty(tables, np.float64)
    ring_then, cost_then = np.empty(tables, np.int64), np.empty(tables, np.float64)
    far = np.empty(CHUNK, np.uint16)
    falls = 0
    for i in range(queries.shape[0]):
        for p in range(words.shape[0]):
            query[0, p] = query_word(queries, i, p, words.itemsize)
        for t in range(tables):
            key[t] = query_word(queries, i, t, 2)
        for t in range(tables):
            for u in range(tables):
                if u != t:
                    others[t, u - (u > t)] = key[u]
            ring[t] = 0
            items[t] = _ring_items(offsets, masks, starts, t, key[t], 0)
            cost[t] = costs[0] + costs[1] * items[t]
        counts[:] = 0
        keys[-1] = np.uint64(radius[i] + 1) << SHIFT
        below, have, held, bound, spent, fell = radius[i] + 1, 0, 0, 0, 0.0, False
        while bound <= min(below, radius[i]):
            t = int(np.argmin(cost))
            spent += cost[t]
            if spent > _UNASKED * costs[2]:
                reach = _expected_reach(counts, unmet, ring, k, min(below, radius[i]))
                if _cost_to_reach(reach, ring, cost, ring_then, cost_then) > costs[2]:
                    fell = True
                    break
            last = starts[ring[t] + 1]
            work[0] += last - starts[ring[t]]
            work[1] += items[t]
            for j in range(starts[ring[t]], last):
                if inline and j + _AHEAD < last:
                    _fetch_bucket(offsets, rest, t, np.int64(key[t] ^ masks[j + _AHEAD]))
                bucket = np.int64(key[t] ^ masks[j])
                first, end = np.int64(offsets[t, bucket]), np.int64(offsets[t, bucket + 1])
                reach = min(below, radius[i]) - ring[t]  # beyond the key; rows ascend, so equal keys run out together
                for start in range(first, end, CHUNK):
                    stop = end if start + CHUNK > end else np.int64(start + CHUNK)
                    if inline:
                        at = (tables - 1) * first + start - first
                        if _chunk_distances(rest, t, at, end - first, tables - 1, others, far) > reach:
                            continue
                    for place in range(start, stop):
                        if inline and far[place - start] > reach:
                            continue
                        row = np.int64(rows[t, place])
                        if row >= n:
                            return -1
                        if inline:
                            distance = ring[t] + np.int64(far[place - start])
                        else:
                            distance = distance_to(words, row, query, 0)
                            if distance > reach + ring[t]:
                                continue
                        item = np.uint64(distance) << SHIFT | np.uint64(row)
                        if item >= keys[-1]:
                            reach = distance - ring[t] - 1
                        elif is_kept(row, allowed, dead) and _first_met(words, query, row, t, ring):
                            held = offer(keys, held, k, item)
                            counts[0, distance] += 1
                            below, have = lower(counts, 0, below, have + 1, k)
                            reach = min(reach, below - ring[t])
                    if reach < 0:
                        break
            ring[t] += 1
            bound += 1
            if ring[t] < LAST_RING:
                buckets = starts[ring[t] + 1] - starts[ring[t]]
                items[t] = _ring_items(offsets, masks, starts, t, key[t], ring[t])
                cost[t] = costs[0] * buckets + costs[1] * items[t]
            else:  # every bucket of one table has been read, so everything has been met
                break
        if fell:
            radius[i] = min(below, radius[i])
            fallen[falls] = i
            falls += 1
        else:
            write_answer(keys, held, distances[i], found[i])
    return falls


def build_table(codes, t, offsets, rows):
    """Counting sort of the rows by key t: offsets [2**16 + 1] and rows [N]."""
    n, buckets = codes.shape[0], offsets.shape[0] - 1
    offsets[:] = 0
    for i in range(n):
        bucket = np.int64(query_word(codes, i, t, 2))
        if bucket + 2 <= buckets:
            offsets[bucket + 2] += np.uint32(1)
    for b in range(2, buckets + 1):
        offsets[b] += offsets[b - 1]
    for i in range(n):
        bucket = np.int64(query_word(codes, i, t, 2))
        rows[offsets[bucket + 1]] = i
        offsets[bucket + 1] += np.uint32(1)


def build_rest(codes, t, tables, offsets, rows, rest):
    """Beside each row of table t the other keys, bucket by bucket: all of one key, then all of the next."""
    for bucket in range(offsets.shape[0] - 1):
        first, end = np.int64(offsets[bucket]), np.int64(offsets[bucket + 1])
        at = np.int64((tables - 1) * first)
        for u in range(tables):
            if u != t:
                for place in range(first, end):
                    rest[at] = query_word(codes, rows[place], u, 2)
                    at += 1


_INTS, _FLOATS = types.Array(types.int64, 1, "C"), types.Array(types.float64, 1, "C")
_TABLES = types.Array(types.uint32, 2, "C", readonly=True)
BUILD_TABLE = types.void(QUERIES, types.int64, types.Array(types.uint32, 1, "C"), types.Array(types.uint32, 1, "C"))
BUILD_REST = types.void(QUERIES, types.int64, types.int64, ROWS, ROWS, types.Array(types.uint16, 1, "C"))


def search_signature(word: type[np.unsignedinteger]) -> Any:
    """The types `search` takes where planes are of `word`."""
    return types.int64(
        types.Array(from_dtype(np.dtype(word)), 2, "C", readonly=True),
        _TABLES,
        _TABLES,
        types.Array(types.uint16, 2, "C", readonly=True),
        types.Array(types.uint16, 1, "C"),
        _INTS,
        types.Array(types.float64, 2, "C"),
        _FLOATS,
        QUERIES,
        BYTES,
        BYTES,
        _INTS,
        DISTANCES_OUT,
        ROWS_OUT,
        _INTS,
        _FLOATS,
    )
