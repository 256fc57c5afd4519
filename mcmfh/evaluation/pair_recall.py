"""R@K without labels: is the query's own partner among the first K answers?

Items of one study, or with equal texts, are ONE answer, at the least distance of its members. With c answers closer
than the right one and t tied with it (itself included), the right one is among the first K with probability
(K − c)/t, clipped to 0 … 1.
"""

import numpy as np

from mcmfh.evaluation.ranking import cosine
from mcmfh.hamming import hamming_distances


def pair_recall(ranks: tuple[np.ndarray, np.ndarray], at: int, ties: str = "expected") -> np.ndarray:
    """float64[Q]: P(the query's own answer is among the first `at`), given (closer, tied) of `pair_ranks`."""
    closer, tied = ranks
    probability: np.ndarray
    if ties == "best":
        probability = (closer < at).astype(float)
    elif ties == "worst":
        probability = (closer + tied <= at).astype(float)
    else:
        probability = np.clip((at - closer) / tied, 0.0, 1.0)
    return probability


def pair_ranks(
    query: np.ndarray, database: np.ndarray, query_group: np.ndarray, database_group: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(closer int64[Q], tied int64[Q]): answers nearer than the query's own, and answers tied with it, itself included.

    `query`, `database`: codes uint8[·, B] (Hamming) or vectors float[·, D] (cosine). `…_group`: int, as
    `answer_groups` gives them; every query's group must occur in the database.
    """
    order = np.argsort(database_group, kind="stable")
    groups, starts = np.unique(database_group[order], return_index=True)
    own = np.searchsorted(groups, query_group)
    assert len(query_group) == 0 or (own.max() < len(groups) and np.array_equal(groups[own], query_group)), (
        "every query needs its own group in the database"
    )
    sorted_database = np.ascontiguousarray(database[order])
    closer, tied = np.zeros(len(query), np.int64), np.zeros(len(query), np.int64)
    block = max(1, 20_000_000 // max(1, len(database)))
    for start in range(0, len(query), block):
        rows = slice(start, start + block)
        distance = np.minimum.reduceat(_distances(query[rows], sorted_database), starts, axis=1)
        right = np.take_along_axis(distance, own[rows, None], 1)
        closer[rows], tied[rows] = (distance < right).sum(1), (distance == right).sum(1)
    return closer, tied


def random_recall(database: np.ndarray, group: np.ndarray, at: int, draws: int = 200, seed: int = 0) -> np.ndarray:
    """float64[N]: `pair_recall` of each database row's group when the database is in random order (simulated).

    A group with many members comes first more often than others. Equal rows count as one member, because they tie.
    """
    groups, own = np.unique(group, return_inverse=True)
    members = np.unique(np.column_stack([own, np.unique(database, axis=0, return_inverse=True)[1].ravel()]), axis=0)
    # The rank of each group's first member in a random order: exponential clocks whose rate is the size of the group.
    size = np.bincount(members[:, 0])
    first = np.random.default_rng(seed).standard_exponential((draws, len(groups))) / size
    last = np.partition(first, min(at, len(groups)) - 1, axis=1)[:, [min(at, len(groups)) - 1]]
    recall: np.ndarray = (first <= last).mean(0)[own]
    return recall


def _distances(query: np.ndarray, database: np.ndarray) -> np.ndarray:
    if query.dtype != np.uint8:
        return np.round(-cosine(query, database), 6)
    return hamming_distances(query[:, None], database)
