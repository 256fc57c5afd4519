"""mAP "@5000" as the DCMHT lineage computes it: the mean precision at the first `at` RELEVANT items, ranked anywhere.

Equal to AP@all where a query has no more than `at` relevant items. In the tie that the `at`-th relevant item falls
into, only the first m of r relevant items count. A relevant item at position i of the tie counts when X ≤ m − 1 others
precede it. X is hypergeometric, and its truncated mean is E[X; X ≤ c] = (i−1)(r−1)/(n−1) · P(X' ≤ c − 1), where X' is
drawn with one item fewer.
"""

import numpy as np

from mcmfh.evaluation.average_precision import tie_sums
from mcmfh.evaluation.hypergeometric import cumulative_by_draws
from mcmfh.evaluation.ranking import TiedRanking


def average_precision_dcmht(ranking: TiedRanking, at: int = 5000, ties: str = "expected") -> np.ndarray:
    """float64[Q]: mean precision at the first min(R, `at`) relevant items; 0 where R = 0."""
    ranking = ranking.resolved(ties)
    whole = np.cumsum(ranking.relevant, 1) <= at
    sums = (tie_sums(ranking) * whole).sum(1)
    for query in np.flatnonzero(~whole[:, -1]):
        step = int(np.argmin(whole[query]))
        sums[query] += _cut_step(ranking.items[query], ranking.relevant[query], step, at)
    mean: np.ndarray = sums / np.maximum(np.minimum(ranking.relevant.sum(1), at), 1)
    return mean


def _cut_step(items: np.ndarray, relevant: np.ndarray, step: int, at: int) -> float:
    n, r = int(items[step]), int(relevant[step])
    before, relevant_before = int(items[:step].sum()), int(relevant[:step].sum())
    m = at - relevant_before
    if m == 0:
        return 0.0
    i = np.arange(1, n + 1)
    few = cumulative_by_draws(n - 1, r - 1, m - 1)[i - 1]
    fewer = np.concatenate([[0.0], cumulative_by_draws(n - 2, r - 2, m - 2)])
    expected_rank = (relevant_before + 1) * few + (i - 1) * (r - 1) / (n - 1) * fewer
    return float((r / n * expected_rank / (before + i)).sum())
