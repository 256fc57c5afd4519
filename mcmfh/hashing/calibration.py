"""P(relevant | distance) on validation items, or P(same study | distance) without labels.

A distance of 3 says nothing to a reader; "8 of 10 validation pairs at this distance shared a finding" does. The
figure holds for the validation set: a larger archive has more unrelated items at the same distance.
"""

from typing import Any

import numpy as np

from mcmfh.archive.modality import MODALITIES, Modality

QUERIES: dict[str, tuple[Modality, ...]] = {"image": ("image",), "report": ("report",), "both": MODALITIES}


def falling_rate(positives: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """The rate at each distance, made to fall with the distance (pool adjacent violators, Ayer et al. 1955).

    Each distance gets one more pair at the base rate, so that distances without pairs have a rate too."""
    base = positives.sum() / max(pairs.sum(), 1)
    blocks: list[list[float]] = []  # positives, pairs, distances pooled
    for positive, count in zip(positives + base, pairs + 1.0):
        blocks.append([positive, count, 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] < blocks[-1][0] / blocks[-1][1]:
            last = blocks.pop()
            blocks[-1] = [x + y for x, y in zip(blocks[-1], last)]
    return np.repeat([p / n for p, n, _ in blocks], [int(size) for *_, size in blocks])


def calibrate(codes: dict[str, np.ndarray], labels: np.ndarray, study: np.ndarray) -> dict[str, Any]:
    """Tables named "<query>-<target>" of codes uint8[N, K/8], labels bool[N, C] (C may be 0) and studies str[N].

    A query is "image", "report" or "both"; the distance of "both" is the sum of the two. A target is "image", "report"
    or "study". A study's distance is the least of its items' in either modality, and it is relevant when one of its
    items is. An item is never compared with itself in a modality of the query. The other modality of the query's own
    item counts only where the table is about the same study.
    """
    # Imported late because it loads numba, which only the worker that calibrates needs.
    from mcmfh.hamming import hamming_distances

    labelled = bool(labels.any())
    if labelled:
        relevant = (labels.astype(np.float32) @ labels.T.astype(np.float32)) > 0
    else:
        relevant = study[:, None] == study[None]
    others = ~np.eye(len(study), dtype=bool)
    bits = 8 * codes["image"].shape[1]
    tables: dict[str, Any] = {"meaning": "relevant" if labelled else "same study", "items": len(study)}
    between = {(a, b): hamming_distances(codes[a][:, None], codes[b]) for a in MODALITIES for b in MODALITIES}
    for query, asked in QUERIES.items():
        bins = len(asked) * bits + 1
        distance, counted = {}, {}
        for target in MODALITIES:
            distance[target] = np.sum([between[modality, target] for modality in asked], axis=0)
            counted[target] = others if labelled or target in asked else np.ones_like(others)
            tables[f"{query}-{target}"] = _table(distance[target], counted[target], relevant, bins)
        nearest = np.minimum(*(np.where(counted[target], distance[target], bins) for target in MODALITIES))
        within = counted["image"] | counted["report"]
        order = np.argsort(study, kind="stable")
        starts = np.unique(study[order], return_index=True)[1]
        tables[f"{query}-study"] = _table(
            np.minimum.reduceat(nearest[:, order], starts, axis=1),
            np.logical_or.reduceat(within[:, order], starts, axis=1),
            np.logical_or.reduceat((relevant & within)[:, order], starts, axis=1),
            bins,
        )
    return tables


def _table(distance: np.ndarray, counted: np.ndarray, relevant: np.ndarray, bins: int) -> dict[str, list[Any]]:
    pairs = np.bincount(distance[counted], minlength=bins)
    positives = np.bincount(distance[counted & relevant], minlength=bins)
    return {
        "pairs": pairs.tolist(),
        "positives": positives.tolist(),
        "probability": [round(float(p), 6) for p in falling_rate(positives, pairs)],
    }
