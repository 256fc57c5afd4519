"""The brute force that every search is compared with: distances to all codes, sorted by (distance, id)."""

import numpy as np

NO_ID, NO_DISTANCE = -1, 2**31 - 1


def ranking(codes: np.ndarray, ids: np.ndarray, query: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All (distance, id) from one query uint8 [B]."""
    distances = np.bitwise_count(codes ^ query).sum(axis=1, dtype=np.int32)
    order = np.lexsort((ids, distances))
    return distances[order], ids[order]


def nearest(
    codes: np.ndarray, ids: np.ndarray, queries: np.ndarray, k: int, radius: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """int32 [Q, k] and int64 [Q, k], padded as the index pads."""
    distances = np.full((len(queries), k), NO_DISTANCE, np.int32)
    indices = np.full((len(queries), k), NO_ID, np.int64)
    for i, query in enumerate(queries):
        near, who = ranking(codes, ids, query)
        if radius is not None:
            near, who = near[near <= radius], who[near <= radius]
        n = min(k, len(near))
        distances[i, :n], indices[i, :n] = near[:n], who[:n]
    return distances, indices


def random_codes(random: np.random.Generator, n: int, bits: int, kind: str = "uniform") -> np.ndarray:
    """uint8 [n, B]: 'uniform', 'few' (many duplicates), 'one' (one code n times) or 'near' (clusters with noise)."""
    width = (bits + 7) // 8
    if kind == "one":
        codes = np.repeat(random.integers(0, 256, (1, width), dtype=np.uint8), n, axis=0)
    elif kind == "few":
        codes = random.integers(0, 256, (7, width), dtype=np.uint8)[random.integers(0, 7, n)]
    elif kind == "near":
        noise = np.packbits(random.random((n, 8 * width)) < 0.04, axis=1)
        codes = random.integers(0, 256, (5, width), dtype=np.uint8)
        codes = codes[random.integers(0, 5, n)] ^ noise
    else:
        codes = random.integers(0, 256, (n, width), dtype=np.uint8)
    if bits % 8 and n:
        codes[:, -1] &= (1 << bits % 8) - 1
    return codes
