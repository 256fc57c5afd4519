"""What no index answers: sums of two distances, and how many items lie at each distance. One pass over mapped codes.

A shard at a time, so memory stays that of a shard; some milliseconds for a million codes.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from mcmfh.hamming import hamming_distances
from mcmfh.snapshots.shards import presence

if TYPE_CHECKING:
    from mcmfh.search.opening import Snapshot


def distances_by_shard(
    snapshot: "Snapshot", column: str, codes: np.ndarray, mask: np.ndarray | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(rows int64 [n], summed distances int16 [n]) of each shard's live rows that have a code and pass `mask`."""
    start = 0
    for tensors in snapshot.codes:
        stored = tensors[column]
        end = start + len(stored)
        there = presence(tensors, column.partition(".")[0], len(stored))
        there &= (snapshot.live if mask is None else mask)[start:end]
        within = np.flatnonzero(there)
        asked = stored if len(within) == len(stored) else stored[within]
        total = np.zeros(len(asked), np.int16)
        for code in codes:
            total += hamming_distances(asked, code)
        yield start + within, total
        start = end


def nearest_by_sum(
    snapshot: "Snapshot", column: str, codes: np.ndarray, k: int, radius: int, mask: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """(rows int64, distances int32) of the k least (summed distance, row), up to `radius`."""
    rows, distances = np.zeros(0, np.int64), np.zeros(0, np.int16)
    for more, totals in distances_by_shard(snapshot, column, codes, mask):
        # Rows ascend, so of later ones at the same distance none comes before the k found.
        limit = min(radius, int(distances[-1]) - 1 if len(rows) == k else radius)
        if limit < 0:
            continue
        counts = np.bincount(totals[totals <= limit])
        enough = np.flatnonzero(np.cumsum(counts) >= k)
        near = totals <= (enough[0] if len(enough) else limit)
        rows, distances = np.concatenate([rows, more[near]]), np.concatenate([distances, totals[near]])
        order = np.argsort(distances, kind="stable")[:k]
        rows, distances = rows[order], distances[order]
    return rows, distances.astype(np.int32)


def distance_counts(snapshot: "Snapshot", column: str, codes: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """int64 [len(codes) · bits + 1]: rows at each summed distance."""
    bins = 8 * codes.size + 1
    counts = np.zeros(bins, np.int64)
    for _, totals in distances_by_shard(snapshot, column, codes, mask):
        counts += np.bincount(totals, minlength=bins)
    return counts
