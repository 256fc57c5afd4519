"""What codes score when they know nothing: the permutation null.

Constant or skewed codes move a score away from P(relevant) without carrying information. The honest zero is
therefore the score of the SAME codes when those of the side in question are dealt out anew among its items.
"""

import numpy as np

from mcmfh.evaluation.average_precision import average_precision
from mcmfh.evaluation.ranking import rank_codes


def permutation_null(
    query_codes: np.ndarray,
    database_codes: np.ndarray,
    query_labels: np.ndarray,
    database_labels: np.ndarray,
    bits: int,
    side: str = "query",
    permutations: int = 200,
    seed: int = 0,
) -> np.ndarray:
    """float64[permutations], sorted: mAP@all with the codes of one `side` ("query" | "database") permuted.

    Permute the side whose codes are on trial (the images, say), not the one that knows its labels: that one's codes
    hang together, and breaking them up makes the null too narrow. The 95 % null is its 2.5 % to 97.5 % quantile.
    """
    random = np.random.default_rng(seed)

    def dealt(codes: np.ndarray, name: str) -> np.ndarray:
        return random.permutation(codes) if name == side else codes

    scores = [
        average_precision(
            rank_codes(
                dealt(query_codes, "query"), dealt(database_codes, "database"), query_labels, database_labels, bits
            )
        ).mean()
        for _ in range(permutations)
    ]
    return np.sort(scores)
