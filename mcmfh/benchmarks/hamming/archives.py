"""Codes to measure on: uniform, the easy case, and clustered, like learned codes.

Uniform codes fill all buckets alike; learned codes do not. "clustered" codes are the signs of random projections of a
mixture of 300 Gaussians of unequal weight. At 16 bits, a million of them have some 12,000 distinct values, the most
frequent of which makes up 1.3 %. Queries are drawn like the items and are not among them.
"""

from collections.abc import Callable

import numpy as np

_DIMENSIONS, _CLUSTERS, _SPREAD, _SKEW = 64, 300, 0.18, 0.5
_STEP = 1 << 18


def draw_codes(kind: str, n: int, bits: int, queries: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(items uint8 [n, bits/8], queries uint8 [queries, bits/8]) of kind 'uniform' or 'clustered'."""
    random = np.random.default_rng(seed)
    draw = _clustered(random, bits) if kind == "clustered" else _uniform(random, bits)
    codes = np.empty((n + queries, bits // 8), np.uint8)
    for start in range(0, len(codes), _STEP):
        part = codes[start : start + _STEP]
        part[:] = draw(len(part))
    return codes[:n], codes[n:].copy()


def _uniform(random: np.random.Generator, bits: int) -> Callable[[int], np.ndarray]:
    return lambda n: random.integers(0, 256, (n, bits // 8), dtype=np.uint8)


def _clustered(random: np.random.Generator, bits: int) -> Callable[[int], np.ndarray]:
    centres = random.standard_normal((_CLUSTERS, _DIMENSIONS), np.float32)
    projection = random.standard_normal((_DIMENSIONS, bits), np.float32)
    weights = np.arange(1, _CLUSTERS + 1) ** -_SKEW
    weights /= weights.sum()

    def draw(n: int) -> np.ndarray:
        points = centres[random.choice(_CLUSTERS, n, p=weights)]
        points += np.float32(_SPREAD) * random.standard_normal(points.shape, np.float32)
        return np.packbits(points @ projection > 0, axis=1, bitorder="little")

    return draw
