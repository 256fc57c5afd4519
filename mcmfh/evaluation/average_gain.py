"""ACG@k: the mean gain of the first k positions (average cumulative gain; Järvelin & Kekäläinen 2000)."""

import numpy as np


def average_gain(positions: np.ndarray, at: int) -> np.ndarray:
    """float64[Q]: the summed gain of the first `at` positions float64[Q, N] over `at`, also where fewer items exist."""
    mean: np.ndarray = positions[:, :at].sum(1) / at
    return mean
