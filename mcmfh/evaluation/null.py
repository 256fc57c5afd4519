"""The score of codes that carry no information: the permutation null.

Constant or skewed codes move a score away from P(relevant) without carrying information. The zero to compare with is
therefore the score of the SAME codes after those of one side were permuted among its items.
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

    Items without labels are neither query nor database item, as in `evaluate`.

    Permute the side whose codes are in question (the images, say). The other side's codes agree with its labels, and
    permuting those would make the null too narrow. The 95 % null is the 2.5 % to 97.5 % quantile.
    """
    random = np.random.default_rng(seed)
    asked, stored = query_labels.any(1), database_labels.any(1)
    query_codes, query_labels = query_codes[asked], query_labels[asked]
    database_codes, database_labels = database_codes[stored], database_labels[stored]

    def permuted(codes: np.ndarray, name: str) -> np.ndarray:
        return random.permutation(codes) if name == side else codes

    scores = [
        average_precision(
            rank_codes(
                permuted(query_codes, "query"),
                permuted(database_codes, "database"),
                query_labels,
                database_labels,
                bits,
            )
        ).mean()
        for _ in range(permutations)
    ]
    return np.sort(scores)
