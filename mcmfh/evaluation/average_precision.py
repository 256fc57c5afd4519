"""Average precision in expectation over the order of ties: the headline measure, @all and @k.

In a tie of n items, r of them relevant, preceded by N₀ items of which R₀ relevant, position i (1…n) adds
(r/n)·[R₀ + 1 + (i−1)(r−1)/(n−1)] / (N₀ + i)  (McSherry & Najork, ECIR 2008). Summed over i with
h = H(N₀+m) − H(N₀), H the harmonic numbers, and m ≤ n the positions that count:
(r/n)·[(R₀+1)·h + (r−1)/(n−1)·(m − (N₀+1)·h)].
"""

import numpy as np

from mcmfh.evaluation.ranking import TiedRanking, rank_codes


def average_precision(ranking: TiedRanking, at: int | None = None, ties: str = "expected") -> np.ndarray:
    """float64[Q]: AP@all divided by the relevant items R, or AP@`at` divided by min(R, at); 0 where R = 0."""
    ranking = ranking.resolved(ties)
    relevant = ranking.relevant.sum(1)
    divisor = relevant if at is None else np.minimum(relevant, at)
    mean: np.ndarray = tie_sums(ranking, at).sum(1) / np.maximum(divisor, 1)
    return mean


def tie_sums(ranking: TiedRanking, at: int | None = None) -> np.ndarray:
    """float64[Q, D]: each step's part of the summed expected precision at relevant positions; 0 beyond `at`."""
    n, r = ranking.items, ranking.relevant.astype(float)
    before = np.cumsum(n, 1) - n
    relevant_before = np.cumsum(ranking.relevant, 1) - ranking.relevant
    counted = n if at is None else np.clip(at - before, 0, n)
    h = _harmonic_difference(before, counted)
    slope = (r - 1) / np.maximum(n - 1, 1)
    sums: np.ndarray = r / np.maximum(n, 1) * ((relevant_before + 1) * h + slope * (counted - (before + 1) * h))
    return sums


def mean_average_precision(
    query_codes: np.ndarray,
    database_codes: np.ndarray,
    query_labels: np.ndarray,
    database_labels: np.ndarray,
    bits: int = 16,
    at: int | None = None,
    ties: str = "expected",
) -> float:
    """Tie-aware mAP of a Hamming ranking: codes uint8[·, bits/8], labels bool[·, C].

    `at`: only the first `at` positions count and min(R, at) divides; None ranks everything. `ties`: "expected" |
    "worst" | "best". Every row counts, and a query without a relevant item counts 0: leave out items without labels
    beforehand, as `evaluate` does. Raises InputError for shapes that disagree.
    """
    ranking = rank_codes(query_codes, database_codes, query_labels, database_labels, bits)
    values = average_precision(ranking, at, ties)
    return float(values.mean()) if len(values) else 0.0


def _harmonic_difference(before: np.ndarray, count: np.ndarray) -> np.ndarray:
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, (before + count).max(initial=0) + 1))])
    difference: np.ndarray = harmonic[before + count] - harmonic[before]
    return difference
