"""Graded relevance: how much of what a query shows does an item show too?

The gain of an item is Σ idf(l) over the labels that it shares with the query, divided by Σ idf(l) over all labels of
the query; idf(l) = log(N / n_l) over the training items (Spärck Jones 1972). Sharing a rare finding counts for more
than sharing a common region. Labels that say "normal" count as any other.
"""

import numpy as np


def inverse_frequency(labels: np.ndarray) -> np.ndarray:
    """float64[C]: log(N / n_l) over the labelled ones of labels bool[·, C]; a label that none carries counts as one."""
    labelled = labels[labels.any(1)]
    idf: np.ndarray = np.log(max(1, len(labelled)) / np.maximum(labelled.sum(0), 1))
    return idf


def gains(query_labels: np.ndarray, database_labels: np.ndarray, idf: np.ndarray) -> np.ndarray:
    """float64[Q, N] in 0 … 1 of labels bool[·, C] and idf float64[C]; 0 where the query's labels weigh nothing."""
    weighted = query_labels * idf
    total = weighted.sum(1, keepdims=True)
    shared: np.ndarray = (weighted / np.where(total > 0, total, 1.0)) @ database_labels.T.astype(float)
    return shared
