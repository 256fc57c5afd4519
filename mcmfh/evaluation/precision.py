"""Precision@N: the share of relevant items among the first N, in expectation over the order of ties."""

from collections.abc import Sequence

import numpy as np

from mcmfh.evaluation.ranking import TiedRanking


def precision(ranking: TiedRanking, at: int, ties: str = "expected") -> np.ndarray:
    """float64[Q]: relevant items among the first `at`, divided by `at` (also where fewer items exist)."""
    return precision_by_rank(ranking.resolved(ties), (at,))[:, 0]


def precision_by_rank(ranking: TiedRanking, at: Sequence[int]) -> np.ndarray:
    """float64[Q, len(at)]: `precision` at several ranks. Within a tie the expected hits grow linearly."""
    items, relevant = (np.pad(np.cumsum(table, 1), ((0, 0), (1, 0))) for table in (ranking.items, ranking.relevant))
    hits = [np.interp(at, *query) for query in zip(items, relevant)]
    shares: np.ndarray = np.array(hits).reshape(len(items), len(at)) / np.array(at)
    return shares
