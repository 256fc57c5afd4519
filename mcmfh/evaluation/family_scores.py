"""Scores by label family: of each family, and of each within every coarser one.

An item that has labels, but none of the family, is counted as not sharing one: a study without a finding shows none.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from mcmfh.evaluation.average_precision import average_precision
from mcmfh.evaluation.condition import Condition
from mcmfh.evaluation.families import Family
from mcmfh.evaluation.precision import precision
from mcmfh.evaluation.ranking import TIES, TiedRanking
from mcmfh.evaluation.score_rows import score_rows
from mcmfh.evaluation.scores import Score
from mcmfh.evaluation.within import labels_of_both, within

MEASURES: dict[str, Callable[..., np.ndarray]] = {"mAP@all": average_precision, "P@10": partial(precision, at=10)}


@dataclass(frozen=True)
class FamilyRanking:
    """The rankings, in blocks, of the queries int64[Q] that a family has something to say about."""

    name: str  # "finding" or "finding within region"
    blocks: list[TiedRanking]
    queries: np.ndarray

    def values(self, measure: Callable[..., np.ndarray], shuffled: bool = False, ties: str = "expected") -> np.ndarray:
        """float64[Q] of `measure`."""
        blocks = [block.shuffled() if shuffled else block for block in self.blocks]
        return np.concatenate([measure(block, ties=ties) for block in blocks])

    @property
    def chance(self) -> float:
        """The share of relevant items among a query's candidates, in the mean over the queries."""
        shares = [block.relevant.sum(1) / np.maximum(block.items.sum(1), 1) for block in self.blocks]
        return float(np.concatenate(shares).mean())

    @property
    def candidates(self) -> int:
        """The mean number of items that a query ranks."""
        return round(float(np.concatenate([block.items.sum(1) for block in self.blocks]).mean()))


def family_rankings(condition: Condition, families: Sequence[Family]) -> Iterator[FamilyRanking]:
    """The rankings of `families`, which come from fine to coarse, and of each within every later one.

    The queries of a family are those that carry a label of it. What no query has something to say about is left out.
    """
    of = {family.name: condition.table.labels[:, family.columns] for family in families}
    for name, labels in of.items():
        carries = labels[condition.query].any(1)
        blocks, start = [], 0
        for ranking in condition.rankings(labels):
            counts = carries[start : start + len(ranking.items)]
            start += len(counts)
            blocks.append((TiedRanking(ranking.items[counts], ranking.relevant[counts]), counts))
        yield from _joined(condition, name, blocks)
    for i, fine in enumerate(of):
        for coarse in list(of)[i + 1 :]:
            both = labels_of_both(of[fine], of[coarse])
            pairs = zip(condition.rankings(of[coarse]), condition.rankings(both))
            yield from _joined(condition, f"{fine} within {coarse}", [within(*pair) for pair in pairs])


def _joined(
    condition: Condition, name: str, blocks: Sequence[tuple[TiedRanking, np.ndarray]]
) -> Iterator[FamilyRanking]:
    queries = condition.query[np.concatenate([counts for _, counts in blocks])]
    if len(queries):
        yield FamilyRanking(name, [ranking for ranking, _ in blocks], queries)


def family_scores(condition: Condition, families: Sequence[Family], resamples: int) -> list[Score]:
    """The scores of each of `family_rankings`. `items` is the mean number of candidates."""
    scores: list[Score] = []
    for ranking in family_rankings(condition, families):
        values: dict[tuple[str, str], np.ndarray] = {}
        for measure, function in MEASURES.items():
            name = f"{measure} {ranking.name}"
            values |= {(name, ties): ranking.values(function, ties=ties) for ties in TIES}
            values[name, "random"] = ranking.values(function, shuffled=True)
        names = [f"{measure} {ranking.name}" for measure in MEASURES]
        groups = condition.table.group[ranking.queries]
        unlabelled = condition.unlabelled
        scores += score_rows(
            names, values, groups, condition.name, ranking.chance, ranking.candidates, resamples, unlabelled
        )
    return scores
