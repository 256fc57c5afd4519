"""Merges answers: of the shards of an archive, or of an index and the items added to it since."""

import numpy as np

from mcmfh.hamming.selection import NO_DISTANCE, NO_ROW


def merge_answers(answers: list[tuple[np.ndarray, np.ndarray]], k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k least (distance, id) of each query among answers to the same queries.

    Each answer is (int32 [Q, ·], int64 [Q, ·]) as `HammingIndex.search` gives it, padding included; ids must be
    distinct over all answers. Returns int32 [Q, k] and int64 [Q, k], padded alike. If each
    answer holds the k nearest of its items, the result does not depend on how the items are split.
    """
    distances = np.concatenate([distance for distance, _ in answers], axis=1)
    ids = np.concatenate([id_ for _, id_ in answers], axis=1)
    if distances.shape[1] < k:
        missing = ((0, 0), (0, k - distances.shape[1]))
        distances = np.pad(distances, missing, constant_values=NO_DISTANCE)
        ids = np.pad(ids, missing, constant_values=NO_ROW)
    order = np.lexsort((ids, distances), axis=1)[:, :k]
    return np.take_along_axis(distances, order, 1), np.take_along_axis(ids, order, 1)
