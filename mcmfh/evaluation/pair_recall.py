"""R@K without labels: is the query's own partner among the first K answers?

Items of one study, or with equal texts, are ONE answer, at the least distance of its members. With c answers closer
than the right one and t tied with it (itself included), the right one is among the first K with probability
(K − c)/t, clipped to 0 … 1.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from mcmfh.evaluation.ranking import cosine
from mcmfh.hamming import hamming_distances

_DRAWN_CLOCKS = 500_000  # random numbers of one simulation


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


def random_recall(
    database: np.ndarray, group: np.ndarray, at: int, draws: int | None = None, seed: int = 0, bits: int | None = None
) -> np.ndarray:
    """float64[N]: `random_recalls` for one cut-off."""
    return random_recalls(database, group, (at,), bits, draws, seed)[at]


def random_recalls(
    database: np.ndarray,
    group: np.ndarray,
    cutoffs: Sequence[int],
    bits: int | None = None,
    draws: int | None = None,
    seed: int = 0,
) -> dict[int, np.ndarray]:
    """{K: float64[N]}: what `pair_recall` of each database row's group is without any knowledge (simulated).

    With `bits` the rows have random codes of that length, which tie as codes do. Without, they are in random order.
    A group with many members comes first more often than others. Equal rows count as one member, because they tie.
    `draws`: how often a random order is drawn; None: as often as a tenth of a second allows.
    """
    groups, own = np.unique(group, return_inverse=True)
    members = np.unique(np.column_stack([own, np.unique(database, axis=0, return_inverse=True)[1].ravel()]), axis=0)
    size = np.bincount(members[:, 0]).astype(float)
    if bits is not None:
        # Of s random codes some are equal: as many draws as are expected to give this many distinct codes.
        drawn = -(2.0**bits) * np.log1p(-np.minimum(size / 2.0**bits, 1 - 1e-9))
        size = np.clip(drawn, size, np.bincount(own))
    # The rank of each group's first member in a random order: exponential clocks whose rate is the size of the group.
    draws = draws or max(200, _DRAWN_CLOCKS // len(groups))
    values = _simulated(np.ascontiguousarray(size).tobytes(), tuple(cutoffs), bits, draws, seed)
    return {at: of_group[own] for at, of_group in zip(cutoffs, values)}


@lru_cache(maxsize=8)
def _simulated(
    size: bytes, cutoffs: tuple[int, ...], bits: int | None, draws: int, seed: int
) -> tuple[np.ndarray, ...]:
    """float64[groups] for each cut-off, given the sizes float64[groups] as bytes.

    Both directions, and other codes of the same items, mostly have equal sizes, so that one simulation serves several
    scores.
    """
    sizes = np.frombuffer(size)
    first = np.random.default_rng(seed).standard_exponential((draws, len(sizes))) / sizes
    if bits is None:
        ranks = np.argsort(np.argsort(first, axis=1), axis=1), np.ones(1, int)
    else:
        step = np.searchsorted(_distance_clocks(bits), first) + np.arange(draws)[:, None] * (bits + 1)
        count = np.bincount(step.ravel(), minlength=draws * (bits + 1)).reshape(draws, bits + 1)
        ranks = (np.cumsum(count, 1) - count).ravel()[step], count.ravel()[step]
    return tuple(pair_recall(ranks, at).mean(0) for at in cutoffs)


def _distance_clocks(bits: int) -> np.ndarray:
    """float64[bits + 1]: the time by which a clock of rate 1 has rung with probability P(distance ≤ d), d = 0 … bits.

    The least distance of s random codes is the first d whose time has come for a clock of rate s."""
    below = np.cumsum([math.comb(bits, d) for d in range(bits + 1)], dtype=object)
    every = 2**bits
    return np.array(
        [-math.log1p(-(n / every)) if 2 * n < every else -math.log((every - n) / every) for n in below[:-1]] + [np.inf]
    )


def _distances(query: np.ndarray, database: np.ndarray) -> np.ndarray:
    if query.dtype != np.uint8:
        return np.round(-cosine(query, database), 6)
    return hamming_distances(query[:, None], database)
