"""Precision and recall within a Hamming radius, for one radius or all. No order of ties changes them."""

from dataclasses import dataclass

import numpy as np

from mcmfh.evaluation.ranking import TiedRanking


def lookup_precision(ranking: TiedRanking, radius: int = 2) -> np.ndarray:
    """float64[Q]: the share of relevant items among those within `radius`; 0 where the ball is empty."""
    items, relevant = (table[:, : radius + 1].sum(1) for table in (ranking.items, ranking.relevant))
    share: np.ndarray = relevant / np.maximum(items, 1)
    return share


def random_lookup(ranking: TiedRanking, radius: int = 2) -> np.ndarray:
    """float64[Q]: `lookup_precision` in expectation when each ball keeps its size and its items are drawn at random."""
    answered = ranking.items[:, : radius + 1].any(1)
    share: np.ndarray = answered * ranking.relevant.sum(1) / np.maximum(ranking.items.sum(1), 1)
    return share


@dataclass(frozen=True)
class RadiusCurve:
    """Entry d is for radius d. Precision is the mean over the queries whose ball is not empty, recall over all."""

    precision: tuple[float, ...]
    recall: tuple[float, ...]
    answered: tuple[float, ...]  # share of the queries whose ball is not empty


def radius_curve(ranking: TiedRanking) -> RadiusCurve:
    """Precision and recall for every radius 0 … bits; queries without a relevant item are left out."""
    items, relevant = (np.cumsum(table, 1)[ranking.relevant.any(1)] for table in (ranking.items, ranking.relevant))
    answered = items > 0
    precision = (relevant / np.maximum(items, 1)).sum(0) / np.maximum(answered.sum(0), 1)
    recall = (relevant / np.maximum(relevant[:, -1:], 1)).sum(0) / max(1, len(items))
    share = answered.sum(0) / max(1, len(items))
    return RadiusCurve(*(tuple(column.tolist()) for column in (precision, recall, share)))
