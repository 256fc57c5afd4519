"""What a distance means: P(relevant | distance) on validation items, or P(same study | distance) without labels.

A distance of 3 says nothing to a reader; "8 of 10 validation pairs at this distance shared a finding" does. The
figure is of the validation set: with many more items in an archive, the same study stands among more strangers.
"""

from typing import Any

import numpy as np


def falling_rate(positives: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Rate per distance, made to fall with it (pool adjacent violators, Ayer et al. 1955); one pseudo-pair of the
    base rate at each distance gives those never seen a value."""
    base = positives.sum() / max(pairs.sum(), 1)
    blocks: list[list[float]] = []  # positives, pairs, distances pooled
    for positive, count in zip(positives + base, pairs + 1.0):
        blocks.append([positive, count, 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] < blocks[-1][0] / blocks[-1][1]:
            last = blocks.pop()
            blocks[-1] = [x + y for x, y in zip(blocks[-1], last)]
    return np.repeat([p / n for p, n, _ in blocks], [int(size) for *_, size in blocks])


def calibrate(codes: dict[str, np.ndarray], labels: np.ndarray, study: np.ndarray) -> dict[str, Any]:
    """Tables per pair of modalities, of codes uint8[N, K/8], labels bool[N, C] (C may be 0) and studies str[N].

    An item is never compared with itself in one modality, and its own other half counts only as the same study.
    """
    labelled = bool(labels.any())
    if labelled:
        relevant = (labels.astype(np.float32) @ labels.T.astype(np.float32)) > 0
    else:
        relevant = study[:, None] == study[None]
    itself = np.eye(len(study), dtype=bool)
    tables: dict[str, Any] = {"meaning": "relevant" if labelled else "same study", "items": len(study)}
    for first, second in (("image", "report"), ("image", "image"), ("report", "report")):
        bins = 8 * codes[first].shape[1] + 1
        counted = ~itself if labelled or first == second else np.ones_like(itself)
        distance = hamming_matrix(codes[first], codes[second])
        pairs = np.bincount(distance[counted], minlength=bins)
        positives = np.bincount(distance[counted & relevant], minlength=bins)
        tables[f"{first}-{second}"] = {
            "pairs": pairs.tolist(),
            "positives": positives.tolist(),
            "probability": [round(float(p), 6) for p in falling_rate(positives, pairs)],
        }
    return tables


def hamming_matrix(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """int16[Q, N] distances of packed codes uint8[Q, K/8] and uint8[N, K/8]."""
    a, b = (2.0 * np.unpackbits(codes, axis=1).astype(np.float32) - 1 for codes in (a, b))
    return np.rint((a.shape[1] - a @ b.T) / 2).astype(np.int16)
