"""A ranking of items with graded gains, and with ties.

Position i of a tie of n items holds each of them with probability 1/n. The expectation of any measure that is linear
in the gains is therefore the measure of a strict ranking in which every item of a tie has the tie's mean gain
(McSherry & Najork, ECIR 2008). The worst and the best order sort each tie by gain.

Shapes: Q queries · N positions, nearest first.
"""

from dataclasses import dataclass, replace

import numpy as np

from mcmfh.errors import InputError
from mcmfh.evaluation.ranking import TIES, cosine
from mcmfh.hamming import hamming_distances


@dataclass(frozen=True)
class GradedRanking:
    """Items that do not count stand in a tie of their own behind all others, with gain 0."""

    gain: np.ndarray  # float64[Q, N]
    step: np.ndarray  # int64[Q, N]: ascending; equal numbers are one tie
    counted: np.ndarray  # int64[Q]: how many items count; they come first

    def positions(self, ties: str = "expected") -> np.ndarray:
        """float64[Q, N]: the gain at each position, with the ties in the "worst" or "best" order, or "expected"."""
        if ties not in TIES:
            raise InputError(f"ties '{ties}' is not known; use {', '.join(TIES)}")
        if ties == "expected":
            queries, width = self.gain.shape
            tie = (self.step + np.arange(queries)[:, None] * width).ravel()
            sums, sizes = np.bincount(tie, self.gain.ravel()), np.bincount(tie)
            mean: np.ndarray = (sums[tie] / sizes[tie]).reshape(queries, width)
            return mean
        order = np.lexsort((self.gain if ties == "worst" else -self.gain, self.step), axis=1)
        return np.take_along_axis(self.gain, order, 1)

    def ideal(self) -> np.ndarray:
        """float64[Q, N]: the gains in descending order, as no ranking can better them."""
        descending: np.ndarray = -np.sort(-self.gain, axis=1)
        return descending

    def shuffled(self) -> "GradedRanking":
        """All items that count tied: a measure of it is that measure's expectation under a random order."""
        behind = np.arange(self.gain.shape[1]) >= self.counted[:, None]
        return replace(self, step=behind.astype(np.int64))

    def exponential(self) -> "GradedRanking":
        """The same ranking with gain 2^g − 1 for each gain g."""
        return replace(self, gain=np.exp2(self.gain) - 1)


def rank_gains(
    asked: np.ndarray, stored: np.ndarray, gain: np.ndarray, counted: np.ndarray | None = None
) -> GradedRanking:
    """The ranking by Hamming distance of codes uint8[·, B], or by cosine of vectors float[·, D].

    `gain` float[Q, N] in the order of `stored`; only items with `counted` bool[Q, N] count. Cosines that are equal to
    six decimals tie, as in `rank_vectors`. Takes O(Q·N) memory.
    """
    if asked.dtype == np.uint8:
        distance = hamming_distances(asked[:, None], stored).astype(float)
    else:
        distance = -np.round(cosine(asked, stored), 6).astype(float)
    counted = np.ones(gain.shape, bool) if counted is None else counted
    distance = np.where(counted, distance, np.inf)
    order = np.argsort(distance, axis=1, kind="stable")
    ranked = np.take_along_axis(distance, order, 1)
    with np.errstate(invalid="ignore"):  # inf − inf, between items that do not count
        rises = np.diff(ranked, axis=1, prepend=ranked[:, :1]) > 0
    gain = np.take_along_axis(np.where(counted, gain, 0.0), order, 1)
    return GradedRanking(gain, np.cumsum(rises, axis=1), counted.sum(1))
