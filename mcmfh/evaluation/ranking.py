"""A ranking with ties: how many items, and how many relevant ones, stand at each of its steps.

Codes of 16 bits over thousands of items tie often, and a score of a sorted list would depend on the order that the
sort leaves inside ties. Here a ranking is two small tables of counts. Every measure is a function of them, so it
treats ties fairly, and codes are never sorted.

Shapes: Q queries · N database items · D steps, nearest first; for codes step d is Hamming distance d.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mcmfh.errors import InputError
from mcmfh.evaluation.pairs import equal_pairs
from mcmfh.hamming import hamming_distances
from mcmfh.hamming.histograms import distance_histograms

TIES = ("expected", "worst", "best")


@dataclass(frozen=True)
class TiedRanking:
    """One ranking a query. Measures are functions (ranking, …, ties) → float64[Q]."""

    items: NDArray[np.int64]  # [Q, D]: items at each step
    relevant: NDArray[np.int64]  # [Q, D]: the relevant ones among them

    def resolved(self, ties: str) -> "TiedRanking":
        """The ranking with its ties in the "worst" or the "best" order for the query; "expected" changes nothing."""
        if ties == "expected":
            return self
        if ties not in TIES:
            raise InputError(f"ties '{ties}' is not known; use {', '.join(TIES)}")
        steps, relevant = np.stack([self.items - self.relevant, self.relevant], 2), np.zeros_like(self.relevant)
        parts = [(steps[..., 0], relevant), (steps[..., 1], steps[..., 1])]
        if ties == "best":
            parts.reverse()
        interleaved = [np.stack(column, 2).reshape(len(self.items), -1) for column in zip(*parts)]
        return TiedRanking(*interleaved)

    def shuffled(self) -> "TiedRanking":
        """All items tied in one step: a measure of it is the expectation of that measure under a random order."""
        return TiedRanking(self.items.sum(1, keepdims=True), self.relevant.sum(1, keepdims=True))

    def head(self, items: int) -> "TiedRanking":
        """The first steps, enough for each query to reach `items` items; the later ones merged into one more step."""
        steps = int((np.cumsum(self.items, 1) < items).sum(1).max(initial=0)) + 1
        if steps >= self.items.shape[1]:
            return self
        starts = np.arange(steps + 1)
        return TiedRanking(*(np.add.reduceat(table, starts, axis=1) for table in (self.items, self.relevant)))

    @property
    def chance(self) -> float:
        """P(a random query-item pair is relevant)."""
        return float(self.relevant.sum() / max(1, self.items.sum()))


def rank_codes(
    query_codes: np.ndarray,
    database_codes: np.ndarray,
    query_labels: np.ndarray,
    database_labels: np.ndarray,
    bits: int,
    own: tuple[np.ndarray, np.ndarray] | None = None,
    threads: int = 1,
) -> TiedRanking:
    """The Hamming ranking of codes uint8[·, B]; relevant = at least one shared label of bool[·, C].

    `own` = (keys [Q], keys [N]): database items with the query's own key are left out of its ranking.
    """
    items, relevant = distance_histograms(query_codes, database_codes, query_labels, database_labels, bits, threads)
    if own is not None:
        query, item = equal_pairs(*own)
        distance = hamming_distances(query_codes[query], database_codes[item])
        np.subtract.at(items, (query, distance), 1)
        np.subtract.at(relevant, (query, distance), (query_labels[query] & database_labels[item]).any(1))
    return TiedRanking(items, relevant)


def rank_vectors(
    query_vectors: np.ndarray,
    database_vectors: np.ndarray,
    query_labels: np.ndarray,
    database_labels: np.ndarray,
    own: tuple[np.ndarray, np.ndarray] | None = None,
) -> TiedRanking:
    """The ranking by cosine of vectors float[·, D], the ceiling for hashing. Takes O(Q·N) memory."""
    counted = np.ones((len(query_vectors), len(database_vectors)), bool)
    if own is not None:
        counted[equal_pairs(*own)] = False
    relevant = (query_labels.astype(np.float32) @ database_labels.T.astype(np.float32)) > 0
    return rank_scores(cosine(query_vectors, database_vectors), relevant, counted)


def rank_scores(scores: np.ndarray, relevant: np.ndarray, counted: np.ndarray | None = None) -> TiedRanking:
    """The ranking by descending score float[Q, N]; scores equal to six decimals tie. Only `counted` items rank."""
    return Sorted.of(scores).ranking(relevant, np.ones(scores.shape, bool) if counted is None else counted)


@dataclass(frozen=True)
class Sorted:
    """The items of each query by descending score, sorted once for several ideas of what is relevant."""

    order: np.ndarray  # int64[Q, N]
    step: np.ndarray  # int64[Q·N]: the step that each position of `order` belongs to, counted over all queries

    @classmethod
    def of(cls, scores: np.ndarray) -> Self:
        """Of scores float[Q, N]; those equal to six decimals are one step."""
        order = np.argsort(-scores, axis=1, kind="stable")
        ranked = np.round(np.take_along_axis(scores, order, 1), 6)
        steps = np.cumsum(np.diff(ranked, axis=1, prepend=ranked[:, :1]) != 0, axis=1)
        return cls(order, (steps + np.arange(len(steps))[:, None] * scores.shape[1]).ravel())

    def ranking(self, relevant: np.ndarray, counted: np.ndarray) -> TiedRanking:
        """The ranking of the `counted` items; bool[Q, N] each."""
        return TiedRanking(self._tally(counted), self._tally(counted & relevant))

    def _tally(self, mask: np.ndarray) -> np.ndarray:
        weights = np.take_along_axis(mask, self.order, 1).ravel()
        counts = np.bincount(self.step, weights, minlength=mask.size)
        return counts.astype(np.int64).reshape(mask.shape)


def cosine(query_vectors: np.ndarray, database_vectors: np.ndarray) -> np.ndarray:
    """float32[Q, N]; a zero vector has cosine 0 with everything."""

    def unit(vectors: np.ndarray) -> np.ndarray:
        vectors = vectors.astype(np.float32)
        units: np.ndarray = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return units

    cosines: np.ndarray = unit(query_vectors) @ unit(database_vectors).T
    return cosines
