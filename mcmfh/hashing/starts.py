"""Which of several ITQ rotations to take: the one whose codes find the most similar items, judged without labels.

ITQ ends in another optimum from each start. Its quantisation error hardly says which of them finds similar items.
Shapes: M judged pairs · K bits.
"""

from collections.abc import Callable, Sequence

import numpy as np

from mcmfh.hashing.teachers import unit

STARTS = 16
JUDGED = 1000
FIRST = 10


def best_start(
    fit: Callable[[int], np.ndarray], held_out: Sequence[np.ndarray], centre: np.ndarray, seed: int
) -> np.ndarray:
    """float64[G, K]: the best of STARTS maps `fit(start seed)`; a code is the signs of (x − centre)·map.

    held_out: float[N, G] unit rows by image and by report, of at most JUDGED of which the codes are judged.
    """
    random = np.random.default_rng(seed)
    rows = random.permutation(len(held_out[0]))[:JUDGED]
    image, report = (side[rows] for side in held_out)
    both = unit(image + report)
    likeness = both @ both.T
    maps = [fit(int(start)) for start in random.integers(0, 2**31, STARTS)]
    gains = [found_likeness((image - centre) @ each > 0, (report - centre) @ each > 0, likeness) for each in maps]
    return maps[int(np.argmax(gains))]


def found_likeness(image: np.ndarray, report: np.ndarray, likeness: np.ndarray) -> float:
    """Mean likeness float[M, M] of the FIRST hits across modalities, discounted by log₂(1 + rank), of both directions.

    image, report: bool[M, K]. A query's own pair is no hit; ties are in the order of the rows.
    """
    signs = [np.where(codes, np.float32(1), np.float32(-1)) for codes in (image, report)]
    similarity = signs[0] @ signs[1].T
    np.fill_diagonal(similarity, -np.inf)
    first = min(FIRST, len(similarity) - 1)
    discount = 1 / np.log2(np.arange(first) + 2)
    gains = []
    for scores in (similarity, similarity.T):
        hits = np.argsort(-scores, axis=1, kind="stable")[:, :first]
        gains.append(np.take_along_axis(likeness, hits, 1) @ discount / discount.sum())
    return float(np.mean(gains))
