"""One label family within another: do the codes find the finding among the items of the same region?

Only items that share a label of the coarser family with the query are ranked; relevant are those that share one of the
finer family as well. A query whose candidates are all relevant, or none of them, says nothing and is left out.
"""

import numpy as np

from mcmfh.evaluation.ranking import TiedRanking


def labels_of_both(fine: np.ndarray, coarse: np.ndarray) -> np.ndarray:
    """bool[N, P] of fine bool[N, F] and coarse bool[N, C]: a column for each pair of a fine and a coarse label that
    some item carries together. Two items share a column where they share a fine and a coarse label."""
    together = np.argwhere(fine.T.astype(np.float32) @ coarse.astype(np.float32) > 0)
    both: np.ndarray = fine[:, together[:, 0]] & coarse[:, together[:, 1]]
    return both


def within(by_coarse: TiedRanking, by_both: TiedRanking) -> tuple[TiedRanking, np.ndarray]:
    """(ranking of the queries that count, bool[Q] which those are).

    `by_coarse` and `by_both` rank the same items; relevant are those that share a coarse label, or a column of
    `labels_of_both`.
    """
    candidates, relevant = by_coarse.relevant.sum(1), by_both.relevant.sum(1)
    counts = (relevant > 0) & (relevant < candidates)
    return TiedRanking(by_coarse.relevant[counts], by_both.relevant[counts]), counts
