"""What codes score when they know nothing: the permutation null.

Constant or skewed codes move a score away from P(relevant) without carrying information. The honest zero is
therefore the score of the SAME codes with the queries' labels dealt out anew.
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
    permutations: int = 200,
    seed: int = 0,
) -> np.ndarray:
    """float64[permutations], sorted: mAP@all with query labels permuted. 95 % null = its 2.5 % to 97.5 % quantile."""
    random = np.random.default_rng(seed)
    scores = [
        average_precision(
            rank_codes(query_codes, database_codes, random.permutation(query_labels), database_labels, bits)
        ).mean()
        for _ in range(permutations)
    ]
    return np.sort(scores)
