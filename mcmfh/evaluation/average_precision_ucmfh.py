"""mAP@k as UCMFH's released evaluation computes it: AP of the first k, divided by the relevant items FOUND there.

Not comparable with AP@k over min(R, k): one relevant item at rank 1 and none after gives 1. Which items of a tie fall
inside the first k is a hypergeometric draw, and the expectation over it is exact. One more find can lower this score,
so its bounds are sought over every number of finds. (Convention: Xia et al., Information Fusion 2023, released code.)
"""

import numpy as np

from mcmfh.evaluation import hypergeometric
from mcmfh.evaluation.average_precision import tie_sums
from mcmfh.evaluation.ranking import TiedRanking


def average_precision_ucmfh(ranking: TiedRanking, at: int = 50, ties: str = "expected") -> np.ndarray:
    """float64[Q]: AP over the first `at` items / relevant items among them; 0 where there are none."""
    whole = np.cumsum(ranking.items, 1) <= at
    inside, found = (_step_sums(ranking, ties) * whole).sum(1, keepdims=True), _total(ranking.relevant * whole)
    # The step that the cut runs through: m of its n items count, x = 0, 1, 2 … of them relevant.
    cut = np.minimum(whole.sum(1, keepdims=True), whole.shape[1] - 1)
    straddles = ~np.take_along_axis(whole, cut, 1)
    n, r = (np.take_along_axis(table, cut, 1) * straddles for table in (ranking.items, ranking.relevant))
    before = _total(ranking.items * whole)
    m, x = np.where(straddles, at - before, 0), np.arange(at + 1)[None]
    probability = hypergeometric.probability(n, r, m, x)
    possible = probability > 0
    value = (inside + _cut_sums(before, found, m * possible, x * possible, ties)) / np.maximum(found + x, 1)
    if ties == "expected":
        return (probability * value).sum(1)
    return np.where(possible, value, 2.0).min(1) if ties == "worst" else np.where(possible, value, -1.0).max(1)


def _step_sums(ranking: TiedRanking, ties: str) -> np.ndarray:
    """float64[Q, D]: what each step adds, its ties resolved."""
    steps = ranking.items.shape[1]
    return tie_sums(ranking.resolved(ties)).reshape(len(ranking.items), steps, -1).sum(2)


def _cut_sums(before: np.ndarray, found: np.ndarray, m: np.ndarray, x: np.ndarray, ties: str) -> np.ndarray:
    """float64[Q, k + 1]: what a step of m items adds when x of them are relevant and `before`, `found` precede it."""
    before, found = np.broadcast_to(before, m.shape), np.broadcast_to(found, m.shape)
    ranking = TiedRanking(*(np.stack(pair, 2).reshape(-1, 2) for pair in ((before, m), (found, x))))
    return _step_sums(ranking, ties)[:, 1].reshape(m.shape)


def _total(table: np.ndarray) -> np.ndarray:
    return table.sum(1, keepdims=True)
