"""Scores of graded relevance: nDCG and ACG of what a query and an item share, rare labels weighing more."""

from collections import defaultdict
from collections.abc import Callable
from functools import partial

import numpy as np

from mcmfh.evaluation.average_gain import average_gain
from mcmfh.evaluation.condition import Condition
from mcmfh.evaluation.discounted_gain import normalised_discounted_gain
from mcmfh.evaluation.gain import gains
from mcmfh.evaluation.graded_ranking import GradedRanking, rank_gains
from mcmfh.evaluation.pairs import equal_pairs
from mcmfh.evaluation.ranking import TIES
from mcmfh.evaluation.score_rows import score_rows
from mcmfh.evaluation.scores import Score

CUTOFFS: dict[str, int | None] = {"@10": 10, "@100": 100, "@all": None}
AVERAGED = (10, 100)
EXPONENTIAL = " (2^g − 1)"


def graded_scores(condition: Condition, idf: np.ndarray, resamples: int) -> list[Score]:
    """The scores of a condition; idf float64[C] weighs the labels.

    `relevant_pairs` is the mean gain of an item that counts, in the mean over the queries.
    """
    table, rows = condition.table, condition.rows
    values: dict[tuple[str, str], list[np.ndarray]] = defaultdict(list)
    means, counted = [], []
    for query in condition.blocks():
        others = np.ones((len(query), len(rows)), bool)
        others[equal_pairs(table.study[query], table.study[rows])] = False
        gain = gains(table.labels[query], table.labels[rows], idf)
        ranking = rank_gains(condition.asked[query], condition.stored[rows], gain, others)
        counted.append(ranking.counted)
        means.append(ranking.gain.sum(1) / np.maximum(ranking.counted, 1))
        for name, value in _values(ranking, "", average=True).items():
            values[name].append(value)
        for name, value in _values(ranking.exponential(), EXPONENTIAL, average=False).items():
            values[name].append(value)
    joined = {key: np.concatenate(parts) for key, parts in values.items()}
    names = list(dict.fromkeys(name for name, _ in joined))
    gain_of_pairs, items = float(np.concatenate(means).mean()), round(float(np.concatenate(counted).mean()))
    groups = table.group[condition.query]
    return score_rows(names, joined, groups, condition.name, gain_of_pairs, items, resamples, condition.unlabelled)


def _values(ranking: GradedRanking, suffix: str, average: bool) -> dict[tuple[str, str], np.ndarray]:
    """float64[Q] by (measure, view of the ties)."""
    ideal = ranking.ideal()
    measures: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        f"nDCG{name}{suffix}": partial(normalised_discounted_gain, ideal=ideal, at=at) for name, at in CUTOFFS.items()
    }
    if average:
        measures |= {f"ACG@{at}": partial(average_gain, at=at) for at in AVERAGED}
    views = {ties: ranking.positions(ties) for ties in TIES} | {"random": ranking.shuffled().positions()}
    return {(name, view): measure(positions) for view, positions in views.items() for name, measure in measures.items()}
