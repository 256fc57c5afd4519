"""Values of single queries → scores: means, bounds by ties, and bootstrap intervals."""

from collections.abc import Mapping, Sequence

import numpy as np

from mcmfh.evaluation.intervals import bootstrap_interval
from mcmfh.evaluation.scores import Score


def score_rows(
    names: Sequence[str],
    values: Mapping[tuple[str, str], np.ndarray],
    groups: np.ndarray,
    condition: tuple[str, str, str],
    relevant_pairs: float,
    items: int,
    resamples: int,
    unlabelled: tuple[int, int] = (0, 0),
) -> list[Score]:
    """One score for each measure in `names`.

    `values`: float64[Q], one value a query, by (name, "expected" | "worst" | "best" | "random"); "random" is what the
    query would get from codes without knowledge. `relevant_pairs`: P(a random query-item pair is relevant).
    `unlabelled`: queries and database items that were left out.
    """
    low, high = bootstrap_interval(np.stack([values[name, "expected"] for name in names], 1), groups, resamples)
    means = {key: float(column.mean()) for key, column in values.items()}
    return [
        Score(
            *condition,
            measure=name,
            value=means[name, "expected"],
            worst=means[name, "worst"],
            best=means[name, "best"],
            low=float(low[column]),
            high=float(high[column]),
            chance=means[name, "random"],
            relevant_pairs=relevant_pairs,
            queries=len(groups),
            items=items,
            unlabelled_queries=unlabelled[0],
            unlabelled_items=unlabelled[1],
        )
        for column, name in enumerate(names)
    ]
