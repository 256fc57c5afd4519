"""Exact search by comparing the query with every code, at the speed of memory.

Codes are stored in planes of machine words. The vector unit finds the least distance in a block of codes without a
branch, and the block is skipped unless that is below the k-th distance so far; nearly every block is. Rows ascend, so a
later row at an equal distance never displaces an earlier one. Queries are handled in groups, so that a block is read
from memory once for the whole group.
"""

from typing import Any

import numpy as np
from numba import from_dtype, types

from mcmfh.hamming.codes import code_bytes, planes
from mcmfh.hamming.intrinsics import compiled, part, popcount
from mcmfh.hamming.selection import (
    BYTES,
    DISTANCES_OUT,
    QUERIES,
    ROWS_OUT,
    SHIFT,
    empty_answer,
    is_kept,
    new_shortlist,
    offer,
    write_answer,
)

_BLOCK = 512
_SMALL_BLOCK = 64
_GROUP = 16


def word_type(bits: int) -> type[np.unsignedinteger]:
    """The machine word of a plane: 32 bits where a code fits in it, else 64."""
    return np.uint32 if bits <= 32 else np.uint64


class Scan:
    """Codes of any length in planes [P, N] of uint32 or uint64."""

    def __init__(self, words: np.ndarray, bits: int):
        self.words, self.bits, self.rows = words, bits, words.shape[1]
        self._search = compiled(_search, _signature(word_type(bits)))

    @classmethod
    def build(cls, codes: np.ndarray, bits: int) -> "Scan":
        """From uint8 [N, B] codes."""
        return cls(planes(codes, word_type(bits)), bits)

    def search(
        self, queries: np.ndarray, k: int, allowed: np.ndarray, dead: np.ndarray, radius: int | np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k least (distance, row) of each uint8 [Q, B] query, up to `radius`, an int or int64 [Q]."""
        distances, rows = empty_answer(len(queries), k)
        self._search(self.words, queries, allowed, dead, np.full(len(queries), radius, np.int64), distances, rows)
        return distances, rows

    def codes(self) -> np.ndarray:
        """uint8 [N, B]: the codes in row order."""
        rows = np.ascontiguousarray(self.words.T).view(np.uint8)
        return np.ascontiguousarray(rows[:, : code_bytes(self.bits)])


@part
def query_word(queries: np.ndarray, i: int, p: int, size: int) -> np.uint64:
    """Word p of query i, of `size` bytes, as uint64; bytes beyond the code are zero."""
    word = np.uint64(0)
    for byte in range(min(size, queries.shape[1] - p * size)):
        word |= np.uint64(queries[i, p * size + byte]) << np.uint64(8 * byte)
    return word


@part
def distance_to(words: np.ndarray, row: int, query: np.ndarray, g: int) -> np.int64:
    """Hamming distance of one row from query g of [G, P] words."""
    distance = np.int64(0)
    for p in range(words.shape[0]):
        distance += np.int64(popcount(np.uint64(words[p, row]) ^ np.uint64(query[g, p])))
    return distance


@part
def lower(counts: np.ndarray, g: int, below: int, have: int, k: int) -> tuple[int, int]:
    """(the distance within which k of the items so far lie, how many lie within it): farther items are of no interest.

    `counts` [G, ·] holds the items so far at each distance, `have` those up to `below`."""
    while have - counts[g, below] >= k:
        have -= counts[g, below]
        below -= 1
    return below, have


@part
def _least(words: np.ndarray, start: int, stop: int, query: np.ndarray, g: int, room: np.ndarray) -> np.int64:
    # The least distance among rows start … stop - 1 from query g of the group. A slice has no negative indices, so its
    # loop needs no test for them and becomes vector code. Casting back keeps arithmetic on narrow words from widening
    # to 64 bits.
    word = words.dtype.type
    least = word(2**16)
    if words.shape[0] == 1:
        a, x = query[g, 0], words[0, start:stop]
        for j in range(x.size):
            least = min(least, popcount(word(x[j] ^ a)))
    elif words.shape[0] == 2:
        a, b, x, y = query[g, 0], query[g, 1], words[0, start:stop], words[1, start:stop]
        for j in range(x.size):
            least = min(least, popcount(word(x[j] ^ a)) + popcount(word(y[j] ^ b)))
    else:
        far = room[: stop - start]
        far[:] = 0
        for p in range(words.shape[0]):
            a, x = query[g, p], words[p, start:stop]
            for j in range(x.size):
                far[j] += popcount(word(x[j] ^ a))
        for j in range(far.size):
            least = min(least, far[j])
    return np.int64(least)


def _search(
    words: np.ndarray,
    queries: np.ndarray,
    allowed: np.ndarray,
    dead: np.ndarray,
    radius: np.ndarray,
    distances: np.ndarray,
    rows: np.ndarray,
) -> None:
    """The k least (distance, row) within radius [Q] of each query."""
    count, n, k = words.shape[0], words.shape[1], rows.shape[1]
    query = np.empty((_GROUP, count), words.dtype)
    room = np.empty(_BLOCK, words.dtype)
    size = words.itemsize
    lists = [new_shortlist(k) for _ in range(min(_GROUP, queries.shape[0]))]
    held, below, have = np.empty(_GROUP, np.int64), np.empty(_GROUP, np.int64), np.empty(_GROUP, np.int64)
    counts = np.empty((_GROUP, 8 * size * count + 2), np.int64)
    for first in range(0, queries.shape[0], _GROUP):
        group = min(_GROUP, queries.shape[0] - first)
        for g in range(group):
            held[g], below[g], have[g] = 0, radius[first + g] + 1, 0
            counts[g] = 0
            for p in range(count):
                query[g, p] = query_word(queries, first + g, p, size)
        for start in range(0, n, _BLOCK):
            stop = min(start + _BLOCK, n)
            for g in range(group):
                if below[g] == 0 or _least(words, start, stop, query, g, room) >= below[g]:
                    continue
                keys = lists[g]
                for near in range(start, stop, _SMALL_BLOCK):
                    end = min(near + _SMALL_BLOCK, stop)
                    if _least(words, near, end, query, g, room) >= below[g]:
                        continue
                    for row in range(near, end):
                        distance = distance_to(words, row, query, g)
                        if distance < below[g] and is_kept(row, allowed, dead):
                            held[g] = offer(keys, held[g], k, np.uint64(distance) << SHIFT | np.uint64(row))
                            counts[g, distance] += 1
                            below[g], have[g] = lower(counts, g, below[g], have[g] + 1, k)
        for g in range(group):
            write_answer(lists[g], held[g], distances[first + g], rows[first + g])


def _signature(word: type[np.unsignedinteger]) -> Any:
    words = types.Array(from_dtype(np.dtype(word)), 2, "C", readonly=True)
    return types.void(words, QUERIES, BYTES, BYTES, types.Array(types.int64, 1, "C"), DISTANCES_OUT, ROWS_OUT)
