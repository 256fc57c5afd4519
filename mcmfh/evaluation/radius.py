"""The Hamming ball: precision and recall by radius, and lookup within a fixed radius. No order of ties changes them."""

from dataclasses import dataclass

import numpy as np

from mcmfh.evaluation.ranking import TiedRanking


def lookup_precision(ranking: TiedRanking, radius: int = 2) -> np.ndarray:
    """float64[Q]: the relevant share of the items within `radius`; a lookup that finds nothing counts 0."""
    items, relevant = (table[:, : radius + 1].sum(1) for table in (ranking.items, ranking.relevant))
    return relevant / np.maximum(items, 1)


@dataclass(frozen=True)
class RadiusCurve:
    """Entry d is about the ball of radius d. Precision is the mean over `answered` queries, recall over all."""

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
