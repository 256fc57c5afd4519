"""nDCG@k: the gains of the first k positions, discounted by 1 / log₂(1 + position), over those of the best order.

In expectation over ties, a tie of n items with summed gain G after N₀ items adds
(G/n)·Σ_{i=1..n, N₀+i≤k} 1/log₂(1+N₀+i) (Järvelin & Kekäläinen 2002; McSherry & Najork 2008).
"""

import numpy as np


def normalised_discounted_gain(positions: np.ndarray, ideal: np.ndarray, at: int | None = None) -> np.ndarray:
    """float64[Q] in 0 … 1, of gains float64[Q, N] by position and in descending order; `at` None counts all.

    0 where no item has a gain.
    """
    discount = 1 / np.log2(2 + np.arange(positions.shape[1]))
    ranked, best = (gain[:, :at] @ discount[:at] for gain in (positions, ideal))
    normalised: np.ndarray = ranked / np.where(best > 0, best, 1.0)
    return normalised
