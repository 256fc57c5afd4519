"""How certain a mean is: a bootstrap over whole groups of queries, for queries of one patient are not independent."""

import numpy as np


def bootstrap_interval(
    values: np.ndarray, groups: np.ndarray, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """(low [M], high [M]): percentile interval of the mean of each column of values float64[Q, M].

    `groups` [Q] names the group of each query. A resample draws as many groups as exist, with replacement.
    """
    _, group = np.unique(groups, return_inverse=True)
    count = np.bincount(group)
    sums = np.zeros((len(count), values.shape[1]))
    np.add.at(sums, group, values)
    random = np.random.default_rng(seed)
    means = np.empty((resamples, values.shape[1]))
    for resample in range(resamples):
        drawn = np.bincount(random.integers(len(count), size=len(count)), minlength=len(count))
        means[resample] = drawn @ sums / (drawn @ count)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def mean_and_sd(values: np.ndarray) -> tuple[float, float]:
    """Mean and sample standard deviation (ddof 1; nan of a single value) over seeds."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
