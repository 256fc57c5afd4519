"""Exact search over codes of more than 22 bits: m tables of 16-bit keys, and a scan for other queries.

Near neighbours agree with the query in most bits, so that some table has them in a bucket near the query's key. How far
the tables must be searched depends on the query. At every step the engine compares the cost of finishing with that of a
scan, by times measured when the index was built.

Two layouts. "inline" keeps the other keys of an item beside it in every bucket, so that a bucket is compared in one
run of vector instructions: 2 (m - 1) + 4 bytes an item and table. "reference" keeps rows only, 4 bytes, and fetches a
candidate's code from the planes: half the memory, several times the time.
"""

import math
import time
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from mcmfh.errors import InputError
from mcmfh.hamming import multi_index_kernels
from mcmfh.hamming.intrinsics import compiled
from mcmfh.hamming.multi_index_kernels import CHUNK, KEY_BITS, LAST_RING, search_signature
from mcmfh.hamming.scan import Scan, word_type
from mcmfh.hamming.selection import empty_answer

# Fewer rows than this are scanned, which takes less time than looking into empty buckets.
LEAST_ROWS = 1 << 14
# A scan of at least this many queries reads each block of codes once for several queries.
_SHARED = 8


class MultiIndex:
    """A scan plus m tables: offsets uint32 [m, 2**16 + 1], rows uint32 [m, N], rest uint16 [m, (m - 1) N + CHUNK]."""

    def __init__(self, scan: Scan, offsets: np.ndarray, rows: np.ndarray, rest: np.ndarray, costs: np.ndarray):
        """Wrap arrays, copied nowhere. `costs` float64 [4]: seconds a bucket, a candidate, a scan, a shared scan."""
        self.scan, self.bits, self.rows = scan, scan.bits, scan.rows
        self.offsets, self.bucket_rows, self.rest, self.costs = offsets, rows, rest, costs
        self._single_costs, self._shared_costs = costs[[0, 1, 2]], costs[[0, 1, 3]]
        self._arrays = scan.words, offsets, rows, rest, *_masks(), _chance_unmet(self.bits)
        self._search = compiled(multi_index_kernels.search, search_signature(word_type(self.bits)))
        if offsets[:, 0].any() or (offsets[:, -1] != self.rows).any() or (offsets[:, 1:] < offsets[:, :-1]).any():
            raise InputError("the index is damaged: its bucket offsets are not in order; build it again")

    @classmethod
    def build(cls, codes: np.ndarray, bits: int, inline: bool) -> "MultiIndex":
        """From uint8 [N, B] codes. Times a few searches, so as to choose well later."""
        tables, n = -(-bits // KEY_BITS), len(codes)
        offsets = np.empty((tables, (1 << KEY_BITS) + 1), np.uint32)
        rows = np.empty((tables, n), np.uint32)
        rest = np.zeros((tables, (tables - 1) * n + CHUNK if inline else 0), np.uint16)
        build_table = compiled(multi_index_kernels.build_table, multi_index_kernels.BUILD_TABLE)
        build_rest = compiled(multi_index_kernels.build_rest, multi_index_kernels.BUILD_REST)
        for t in range(tables):
            build_table(codes, t, offsets[t], rows[t])
            if inline:
                build_rest(codes, t, tables, offsets[t], rows[t], rest[t])
        scan = Scan.build(codes, bits)
        unmeasured = cls(scan, offsets, rows, rest, np.zeros(4))
        return cls(scan, offsets, rows, rest, _measured_costs(unmeasured, codes))

    def search(
        self, queries: np.ndarray, k: int, allowed: np.ndarray, dead: np.ndarray, radius: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k least (distance, row) up to `radius` of each uint8 [Q, B] query: int32 and int64 [Q, k]."""
        distances, rows = empty_answer(len(queries), k)
        reach, fallen = np.full(len(queries), radius, np.int64), np.empty(len(queries), np.int64)
        costs = self._shared_costs if len(queries) >= _SHARED else self._single_costs
        self._probe(queries, allowed, dead, costs, reach, distances, rows, fallen, np.zeros(2))
        return distances, rows

    def _probe(
        self,
        queries: np.ndarray,
        allowed: np.ndarray,
        dead: np.ndarray,
        costs: np.ndarray,
        reach: np.ndarray,
        distances: np.ndarray,
        rows: np.ndarray,
        fallen: np.ndarray,
        work: np.ndarray,
    ) -> None:
        falls = self._search(*self._arrays, costs, queries, allowed, dead, reach, distances, rows, fallen, work)
        if falls < 0:
            raise InputError("the index is damaged: a row lies outside it; build it again")
        if falls == len(queries):
            distances[:], rows[:] = self.scan.search(queries, rows.shape[1], allowed, dead, reach)
        elif falls:
            far = fallen[:falls]
            distances[far], rows[far] = self.scan.search(queries[far], rows.shape[1], allowed, dead, reach[far])

    def codes(self) -> np.ndarray:
        """uint8 [N, B]: the codes in row order."""
        return self.scan.codes()


@lru_cache(maxsize=1)
def _masks() -> tuple[np.ndarray, np.ndarray]:
    """All 16-bit masks by number of bits, uint16 [2**16], and where each number begins, int64 [18]."""
    masks = np.arange(1 << KEY_BITS)
    ones = np.bitwise_count(masks)
    return masks[np.argsort(ones, kind="stable")].astype(np.uint16), np.cumsum([0, *np.bincount(ones)])


@lru_cache(maxsize=8)
def _chance_unmet(bits: int) -> np.ndarray:
    """[d, r]: the chance that of d differing bits, spread evenly over `bits`, at least r fall on one key (float64)."""
    key, other = min(KEY_BITS, bits), max(bits - KEY_BITS, 0)
    chance = np.zeros((bits + 1, LAST_RING + 1))
    for d in range(bits + 1):
        exactly = [math.comb(key, r) * math.comb(other, d - r) / math.comb(bits, d) if r <= d else 0 for r in range(17)]
        chance[d, :17] = np.cumsum(exactly[::-1])[::-1]
    return chance


def _measured_costs(index: MultiIndex, codes: np.ndarray) -> np.ndarray:
    """Seconds a bucket, a candidate, a scan, a scan shared by many queries; float64 [4]."""
    random = np.random.default_rng(0)
    stored = codes[random.integers(0, len(codes), 16)]
    strangers = random.integers(0, 256, stored.shape, dtype=np.uint8)
    strangers[:, -1] &= 255 >> (-index.bits % 8)
    all_rows = np.empty(0, np.uint8)

    def timed(call: Callable[[], object]) -> float:
        begun = time.thread_time()  # processor time, so that a busy machine does not distort the comparison
        call()
        return time.thread_time() - begun

    def scan(queries: np.ndarray) -> float:
        return timed(lambda: index.scan.search(queries, 10, all_rows, all_rows, index.bits))

    def probe(index: MultiIndex, queries: np.ndarray, radius: int) -> tuple[float, float, float]:
        work, (distances, rows) = np.zeros(2), empty_answer(16, 10)
        reach, fallen = np.full(16, radius), np.empty(16, np.int64)
        units = np.array([32.0, 1.0, np.inf])  # with infinite cost for a scan, the probe never falls back on it
        took = timed(lambda: index._probe(queries, all_rows, all_rows, units, reach, distances, rows, fallen, work))
        return took, float(work[0]), float(work[1])

    # One great bucket gives the time of a candidate; many small ones, less their candidates, that of a bucket.
    heaped = np.full_like(index.offsets, min(index.rows, 1 << 18))
    heaped[:, 0], heaped[:, -1] = 0, index.rows
    heap = MultiIndex(index.scan, heaped, index.bucket_rows, index.rest, index.costs)
    candidate = min(took / items for took, _, items in (probe(heap, np.zeros_like(stored), 0) for _ in range(3)))
    runs = (probe(index, queries, rings * len(heaped) - 1) for queries in (strangers, stored) for rings in (2, 3, 3))
    bucket = min(max(took - candidate * items, 0) / buckets for took, buckets, items in runs)
    single = min(scan(strangers[i : i + 1]) for i in range(len(strangers)))  # warm, as in a run of queries
    return np.array([max(bucket, 5e-9), candidate, single, scan(strangers) / len(strangers)])
