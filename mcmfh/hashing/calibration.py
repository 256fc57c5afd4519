"""P(relevant | distance) on validation items, or P(same study | distance) where too few of them are labelled.

A distance of 3 says nothing to a reader; "8 of 10 validation pairs at this distance shared a finding" does. The
figure holds for the validation set: a larger archive has more unrelated items at the same distance.
"""

from typing import Any

import numpy as np

from mcmfh.archive.modality import MODALITIES, Modality

_Pool = tuple[int, int, int]  # positives, pairs, distances

LEAST_LABELLED = 16  # items; a rate of relevance from fewer would say more about them than about the codes
# Expected calibration error of statements of relevance. Beyond it, a labelled part of the items says too little.
MOST_ERROR = 0.03
HALVINGS = 16
QUERIES: dict[str, tuple[Modality, ...]] = {"image": ("image",), "report": ("report",), "both": MODALITIES}


def falling_rate(positives: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """float64[D]: the rate at each distance, made to fall with the distance; nan everywhere without any pair.

    Distances are pooled first, by their raw rates (pool adjacent violators, Ayer et al. 1955). A distance without pairs
    takes the rate of the next one that has some, or else of the last. Each pool then gets one more pair at the base
    rate. The number of pools depends on the data and not on the number of distances, so long codes and short ones
    are drawn equally little towards the base rate.
    """
    if not pairs.sum():
        return np.full(len(pairs), np.nan)
    base, filled = positives.sum() / pairs.sum(), np.flatnonzero(pairs)
    pools: list[_Pool] = []
    for positive, count in zip(positives[filled].tolist(), pairs[filled].tolist()):
        pools.append((positive, count, 1))
        while len(pools) > 1 and pools[-2][0] * pools[-1][1] <= pools[-1][0] * pools[-2][1]:
            _join_last(pools)
    # The extra pair moves a small pool further than a large one, so that neighbours may change their order again.
    shrunk: list[_Pool] = []
    for pool in pools:
        shrunk.append(pool)
        while len(shrunk) > 1 and _shrunk(shrunk[-2], base) < _shrunk(shrunk[-1], base):
            _join_last(shrunk)
    rates = np.repeat([_shrunk(pool, base) for pool in shrunk], [distances for *_, distances in shrunk])
    following: np.ndarray = np.searchsorted(filled, np.arange(len(pairs)))
    falling: np.ndarray = rates[np.minimum(following, len(filled) - 1)]
    return falling


def _join_last(pools: list[_Pool]) -> None:
    last, before = pools.pop(), pools.pop()
    pools.append((before[0] + last[0], before[1] + last[1], before[2] + last[2]))


def _shrunk(pool: _Pool, base: float) -> float:
    return (pool[0] + base) / (pool[1] + 1)


def calibrate(
    codes: dict[str, np.ndarray], labels: np.ndarray, study: np.ndarray, most_error: float = MOST_ERROR
) -> dict[str, Any]:
    """Tables named "<query>-<target>" of codes uint8[N, K/8], labels bool[N, C] (C may be 0) and studies str[N].

    A query is "image", "report" or "both"; the distance of "both" is the sum of the two. A target is "image", "report"
    or "study". A study's distance is the least of its items' in either modality, and it is relevant when one of its
    items is.

    Tables of relevance count only pairs of two labelled items, because what an unlabelled item shows is unknown.
    Whether a study is relevant is judged by its labelled items. These tables leave out the query's own study, as the
    evaluation does. With fewer than LEAST_LABELLED labelled items the tables are about the same study instead. Those
    leave out the query itself: the query's own item in a modality of the query.

    The tables are about the same study, too, where only a part of the items is labelled and `relevance_error` is above
    `most_error`. That part is then too small to state a rate of relevance by, whereas all items' studies are known.

    Entry "items" is N, and "counted" is the number of items that have a part in the tables.
    """
    # Imported late because it loads numba, which only the worker that calibrates needs.
    from mcmfh.hamming import hamming_distances

    labelled: np.ndarray = np.any(labels, axis=1)
    same_study = study[:, None] == study[None]
    by_label = bool(labelled.sum() >= LEAST_LABELLED)
    between = {(a, b): hamming_distances(codes[a][:, None], codes[b]) for a in MODALITIES for b in MODALITIES}
    if by_label and not labelled.all():
        by_label = relevance_error(between["image", "report"], labels, study) <= most_error
    relevant = labels.astype(np.float32) @ labels.T.astype(np.float32) > 0 if by_label else same_study
    judged = labelled[:, None] & labelled if by_label else np.ones_like(same_study)
    others = ~np.eye(len(study), dtype=bool)
    bits = 8 * codes["image"].shape[1]
    meaning = "relevant" if by_label else "same study"
    tables: dict[str, Any] = {"meaning": meaning, "items": len(study), "counted": int(judged.any(1).sum())}
    for query, asked in QUERIES.items():
        bins = len(asked) * bits + 1
        distance, compared = {}, {}
        for target in MODALITIES:
            distance[target] = np.sum([between[modality, target] for modality in asked], axis=0)
            compared[target] = ~same_study if by_label else others if target in asked else np.ones_like(others)
            tables[f"{query}-{target}"] = _table(distance[target], compared[target] & judged, relevant, bins)
        nearest = np.minimum(*(np.where(compared[target], distance[target], bins) for target in MODALITIES))
        within = (compared["image"] | compared["report"]) & judged
        order = np.argsort(study, kind="stable")
        starts = np.unique(study[order], return_index=True)[1]
        tables[f"{query}-study"] = _table(
            np.minimum.reduceat(nearest[:, order], starts, axis=1),
            np.logical_or.reduceat(within[:, order], starts, axis=1),
            np.logical_or.reduceat((relevant & within)[:, order], starts, axis=1),
            bins,
        )
    return tables


def relevance_error(distance: np.ndarray, labels: np.ndarray, study: np.ndarray) -> float:
    """How far P(relevant | distance) of these items is expected to be from that of other items of their kind.

    distance: int[N, N] between the images' codes and the reports'; labels and study as of `calibrate`.

    The labelled studies are halved at random, HALVINGS times, and the halves calibrate each other: the mean difference
    by distance, weighted by the pairs. A half errs by √2 as much as the whole, and two of them err by √2 again, so the
    result is divided by 2.
    """
    rows = np.flatnonzero(np.any(labels, axis=1))
    shared = labels[rows].astype(np.float32)
    relevant = shared @ shared.T > 0
    studies, of = np.unique(study[rows], return_inverse=True)
    other = of[:, None] != of
    distance, bins = distance[np.ix_(rows, rows)], int(distance.max()) + 1
    random = np.random.default_rng(0)
    gaps = []
    for _ in range(HALVINGS):
        side = (random.permutation(len(studies)) % 2)[of]
        halves = [other & (side[:, None] == half) & (side == half) for half in (0, 1)]
        counts = [
            (np.bincount(distance[half & relevant], minlength=bins), np.bincount(distance[half], minlength=bins))
            for half in halves
        ]
        for (positives, pairs), (seen_positives, seen) in (counts, counts[::-1]):
            both = seen > 0
            if pairs.any() and both.any():
                gap = np.abs(falling_rate(positives, pairs)[both] - seen_positives[both] / seen[both])
                gaps.append(float((gap * seen[both]).sum() / seen.sum()))
    return float(np.mean(gaps)) / 2 if gaps else 1.0


def _table(distance: np.ndarray, counted: np.ndarray, relevant: np.ndarray, bins: int) -> dict[str, list[Any]]:
    pairs = np.bincount(distance[counted], minlength=bins)
    positives = np.bincount(distance[counted & relevant], minlength=bins)
    return {
        "pairs": pairs.tolist(),
        "positives": positives.tolist(),
        "probability": [None if np.isnan(p) else round(float(p), 6) for p in falling_rate(positives, pairs)],
    }
