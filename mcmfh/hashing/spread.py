"""The deviation that a feature is divided by, kept away from 0.

A few pairs may hardly vary in a feature that varies much in the archive. Divided by its own deviation, that feature
would outweigh all others, and decide codes alone.
"""

import numpy as np

# Smallest divisor, as a share of the median deviation of the features. Chosen on archives of 24, 40 and 100 pairs:
# python jobs/measure.py small
LEAST = 0.2


def spread(x: np.ndarray) -> np.ndarray:
    """float64[D] > 0: each column's standard deviation in x float[N, D], at least LEAST times the median one.

    The median is that of the columns that vary at all.
    """
    deviation: np.ndarray = x.std(0, dtype=np.float64)
    varying = deviation[deviation > 1e-6 * deviation.max(initial=0.0)]
    floored: np.ndarray = np.maximum(deviation, LEAST * np.median(varying) if len(varying) else 1.0)
    return floored
