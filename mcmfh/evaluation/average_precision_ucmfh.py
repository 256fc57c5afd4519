"""mAP@k as UCMFH's released evaluation computes it: AP of the first k, divided by the relevant items AMONG those k.

Not comparable with AP@k over min(R, k): one relevant item at rank 1 and none after gives 1. Which items of a tie are
among the first k is a hypergeometric draw, and the expectation over it is exact. One more hit can lower this score,
so its bounds are the extremes over every possible number of hits. (Convention: Xia et al., Information Fusion 2023,
released code.)
"""

import numpy as np

from mcmfh.evaluation import hypergeometric
from mcmfh.evaluation.average_precision import tie_sums
from mcmfh.evaluation.ranking import TiedRanking


def average_precision_ucmfh(ranking: TiedRanking, at: int = 50, ties: str = "expected") -> np.ndarray:
    """float64[Q]: AP over the first `at` items / relevant items among them; 0 where there are none."""
    whole = np.cumsum(ranking.items, 1) <= at
    inside, hits = (_step_sums(ranking, ties) * whole).sum(1, keepdims=True), _total(ranking.relevant * whole)
    # The step that rank k cuts: m of its n items count, of which x = 0, 1, 2 … are relevant.
    cut = np.minimum(whole.sum(1, keepdims=True), whole.shape[1] - 1)
    straddles = ~np.take_along_axis(whole, cut, 1)
    n, r = (np.take_along_axis(table, cut, 1) * straddles for table in (ranking.items, ranking.relevant))
    before = _total(ranking.items * whole)
    m, x = np.where(straddles, at - before, 0), np.arange(at + 1)[None]
    probability = hypergeometric.probability(n, r, m, x)
    possible = probability > 0
    value = (inside + _cut_sums(before, hits, m * possible, x * possible, ties)) / np.maximum(hits + x, 1)
    score: np.ndarray
    if ties == "expected":
        score = (probability * value).sum(1)
    elif ties == "worst":
        score = np.where(possible, value, 2.0).min(1)
    else:
        score = np.where(possible, value, -1.0).max(1)
    return score


def _step_sums(ranking: TiedRanking, ties: str) -> np.ndarray:
    """float64[Q, D]: what each step adds, its ties resolved."""
    steps = ranking.items.shape[1]
    sums: np.ndarray = tie_sums(ranking.resolved(ties)).reshape(len(ranking.items), steps, -1).sum(2)
    return sums


def _cut_sums(before: np.ndarray, hits: np.ndarray, m: np.ndarray, x: np.ndarray, ties: str) -> np.ndarray:
    """float64[Q, k + 1]: what a step of m items (x relevant) adds after `before` items (`hits` relevant)."""
    before, hits = np.broadcast_to(before, m.shape), np.broadcast_to(hits, m.shape)
    ranking = TiedRanking(*(np.stack(pair, 2).reshape(-1, 2) for pair in ((before, m), (hits, x))))
    return _step_sums(ranking, ties)[:, 1].reshape(m.shape)


def _total(table: np.ndarray) -> np.ndarray:
    total: np.ndarray = table.sum(1, keepdims=True)
    return total
