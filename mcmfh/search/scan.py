"""A scan of all codes, for what an index cannot answer: sums of two distances, and items counted by distance.

It reads the mapped codes shard by shard, so its memory is that of one shard. A million codes take some milliseconds.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from mcmfh.hamming import hamming_distances
from mcmfh.snapshots.shards import presence

ShardCodes = dict[str, np.ndarray]  # a shard's tensors: "image.16" → uint8 [rows, 2], "image.present" → bitmap


def distances_by_shard(
    shards: Sequence[ShardCodes], column: str, codes: np.ndarray, mask: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(rows int64 [n], summed distances int16 [n]) of each shard's rows that have a code and pass `mask`.

    mask: bool [rows]; codes: uint8 [1 or 2, bits/8].
    """
    start = 0
    for tensors in shards:
        stored = tensors[column]
        end = start + len(stored)
        passing = presence(tensors, column.partition(".")[0], len(stored)) & mask[start:end]
        rows = np.flatnonzero(passing)
        compared = stored if len(rows) == len(stored) else stored[rows]
        total = np.zeros(len(compared), np.int16)
        for code in codes:
            total += hamming_distances(compared, code)
        yield start + rows, total
        start = end


def nearest_by_sum(
    shards: Sequence[ShardCodes], column: str, codes: np.ndarray, k: int, radius: int, mask: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(rows int64, distances int32) of the k least (summed distance, row), up to `radius`."""
    rows, distances = np.zeros(0, np.int64), np.zeros(0, np.int16)
    for shard_rows, totals in distances_by_shard(shards, column, codes, mask):
        # Rows ascend: once k hits are kept, a later row must be nearer than the last of them to displace it.
        limit = min(radius, int(distances[-1]) - 1 if len(rows) == k else radius)
        if limit < 0:
            continue
        counts = np.bincount(totals[totals <= limit])
        enough = np.flatnonzero(np.cumsum(counts) >= k)
        near = totals <= (enough[0] if len(enough) else limit)
        rows, distances = np.concatenate([rows, shard_rows[near]]), np.concatenate([distances, totals[near]])
        order = np.argsort(distances, kind="stable")[:k]
        rows, distances = rows[order], distances[order]
    return rows, distances.astype(np.int32)


def distance_counts(shards: Sequence[ShardCodes], column: str, codes: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """int64 [len(codes) · bits + 1]: the number of rows at each summed distance."""
    bins = 8 * codes.size + 1
    counts = np.zeros(bins, np.int64)
    for _, totals in distances_by_shard(shards, column, codes, mask):
        counts += np.bincount(totals, minlength=bins)
    return counts
