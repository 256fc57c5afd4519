"""The hypergeometric distribution: how many of m items drawn from a tie of n are relevant, when r of the n are."""

import numpy as np


def probability(n: np.ndarray, r: np.ndarray, m: np.ndarray, x: np.ndarray) -> np.ndarray:
    """float64: P(x relevant among m drawn of n, r of them relevant); integer arrays that broadcast."""
    n, r, m, x = np.broadcast_arrays(n, r, m, x)
    possible = (x >= 0) & (x <= r) & (x <= m) & (m - x <= n - r)
    x = np.where(possible, x, 0)
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n.max(initial=0) + 1)))])

    def log_choose(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        b = np.clip(b, 0, a)
        log_binomial: np.ndarray = log_factorial[a] - log_factorial[b] - log_factorial[a - b]
        return log_binomial

    return np.where(possible, np.exp(log_choose(r, x) + log_choose(n - r, m - x) - log_choose(n, m)), 0.0)


def cumulative_by_draws(n: int, r: int, most: int) -> np.ndarray:
    """float64[n + 1]: P(at most `most` relevant among m drawn), for m = 0 … n.

    The next draw can exceed `most` only from exactly `most`: F(m+1) = F(m) − p_m(most)·(r − most)/(n − m).
    """
    if most < 0:
        return np.zeros(n + 1)
    drawn = np.arange(n)
    leaving = probability(np.array(n), np.array(r), drawn, np.array(most)) * (r - most) / np.maximum(n - drawn, 1)
    return np.concatenate([[1.0], 1 - np.cumsum(leaving)])
