"""The results of an evaluation as frozen records, and their mean over seeds."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from itertools import groupby
from typing import Any

import numpy as np

from mcmfh.evaluation.intervals import mean_and_sd
from mcmfh.evaluation.protocols import HEADLINE_DATABASES, SINGLE


@dataclass(frozen=True)
class Score:
    """One measure of one direction against one database.

    `value` is the expectation over the order of ties; `worst` and `best` are its bounds; `low` to `high` is the 95 %
    bootstrap interval over queries. `chance` is what the same measure gives to codes without knowledge, under its own
    conventions: a database in random order (exact), for lookups with balls of the same sizes (exact), for R@K random
    codes of the same length (simulated). `relevant_pairs` is P(a random query-item pair is relevant).
    `unlabelled_queries` and `unlabelled_items` are left out, because their relevance is unknown.
    """

    protocol: str
    direction: str
    database: str
    measure: str
    value: float
    worst: float
    best: float
    low: float
    high: float
    chance: float
    relevant_pairs: float
    queries: int
    items: int
    unlabelled_queries: int = 0
    unlabelled_items: int = 0

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What identifies a score within an evaluation."""
        return self.protocol, self.direction, self.database, self.measure


@dataclass(frozen=True)
class Curve:
    """Points of a plot: `kind` is "precision by rank" (x = N) or "precision by recall" (one point a Hamming radius)."""

    kind: str
    protocol: str
    direction: str
    database: str
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True)
class Null:
    """The middle 95 % of the scores that codes get after their permutation (see `null`)."""

    mean: tuple[float, float] | None  # of the mean over both directions, seen and unseen; None where one is missing
    unseen: tuple[float, float] | None  # of the mean over both directions, unseen alone


@dataclass(frozen=True)
class Evaluation:
    method: str
    bits: int | None  # None: real-valued vectors, ranked by cosine
    seed: int
    query_split: str
    supervised: bool  # the method used labels, if only to choose a setting
    scores: tuple[Score, ...]
    curves: tuple[Curve, ...]
    settings: str = ""  # digest of what the method was trained with, but for seed and bits
    null: Null | None = None  # of mAP@all; None without labels

    @property
    def title(self) -> str:
        """The method's name in a table, which says whether labels were used."""
        named = "supervised" in self.method or not self.supervised
        return self.method if named else f"{self.method} (supervised)"

    def score(self, measure: str, direction: str, database: str, protocol: str = SINGLE) -> Score:
        """The score of that measure under that condition. Raises KeyError if it was not measured."""
        for score in self.scores:
            if score.key == (protocol, direction, database, measure):
                return score
        raise KeyError((protocol, direction, database, measure))

    def mean(self, measure: str = "mAP@all", databases: Sequence[str] = HEADLINE_DATABASES) -> float:
        """Mean of the single/single scores of `measure` over both directions and `databases`.

        nan where one of them was not measured: a mean of four is no mean of two. See `measured`.
        """
        return self._mean("value", measure, databases)

    def chance(self, measure: str = "mAP@all", databases: Sequence[str] = HEADLINE_DATABASES) -> float:
        """The chance of `mean`: the mean of the chances of the same scores."""
        return self._mean("chance", measure, databases)

    def _mean(self, field: str, measure: str, databases: Sequence[str]) -> float:
        values = [
            getattr(score, field)
            for score in self.scores
            if score.protocol == SINGLE and score.measure == measure and score.database in databases
        ]
        return float(np.mean(values)) if len(values) == 2 * len(databases) else float("nan")

    def measured(self, measure: str = "mAP@all") -> bool:
        """Whether any single/single score of `measure` exists."""
        return any(score.protocol == SINGLE and score.measure == measure for score in self.scores)

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `from_json` gives the same evaluation back."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Evaluation":
        scores = tuple(Score(**score) for score in document["scores"])
        curves = tuple(
            Curve(**{**curve, "x": tuple(curve["x"]), "y": tuple(curve["y"])}) for curve in document["curves"]
        )
        null = document.get("null")
        bounds = {name: tuple(both) if both else None for name, both in null.items()} if null else {}
        return cls(**{**document, "scores": scores, "curves": curves, "null": Null(**bounds) if null else None})


@dataclass(frozen=True)
class Summary:
    """A score over seeds: `score` holds the means, `sd` the sample deviation of the value (nan with one seed)."""

    method: str
    bits: int | None
    supervised: bool
    seeds: int
    score: Score
    sd: float
    settings: str = ""


_Row = tuple[str, int | None, bool, str, Score]


def summarise(evaluations: Sequence[Evaluation]) -> list[Summary]:
    """The mean over seeds of each method, its settings, code length and score, in the order of `evaluations`."""
    rows = [(*_method(each), score) for each in evaluations for score in each.scores]
    order: dict[tuple[object, ...], int] = {}
    for row in rows:
        order.setdefault((*row[:-1], *row[-1].key), len(order))

    def rank(row: _Row) -> int:
        return order[(*row[:-1], *row[-1].key)]

    return [_mean([*group]) for _, group in groupby(sorted(rows, key=rank), key=rank)]


def _method(evaluation: Evaluation) -> tuple[str, int | None, bool, str]:
    return evaluation.method, evaluation.bits, evaluation.supervised, evaluation.settings


def _mean(rows: list[_Row]) -> Summary:
    method, bits, supervised, settings, first = rows[0]
    scores = [row[-1] for row in rows]
    numbers = [field.name for field in fields(Score) if field.type is float]
    means = {name: float(np.mean([getattr(score, name) for score in scores])) for name in numbers}
    _, sd = mean_and_sd(np.array([score.value for score in scores]))
    return Summary(method, bits, supervised, len(rows), Score(**{**asdict(first), **means}), sd, settings)
