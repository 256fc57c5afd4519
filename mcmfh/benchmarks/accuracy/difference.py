"""Is one recipe better than another? Both on the same queries, several seeds each, with a bootstrap over the queries.

python jobs/measure.py difference archive.manifest=… store=… train.ensemble=4 --against train.ensemble=0
                                                                 embed the archive first

Shapes: Q queries.
"""

from collections.abc import Callable, Mapping

import numpy as np

from mcmfh.benchmarks.accuracy.training import trained_coder
from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.evaluation.average_precision import average_precision
from mcmfh.evaluation.condition import Condition
from mcmfh.evaluation.intervals import bootstrap_interval, mean_and_sd
from mcmfh.evaluation.protocols import HEADLINE_DATABASES, PROTOCOLS, database_rows
from mcmfh.hashing.codes import pack_codes
from mcmfh.hashing.settings import TrainSettings

RESAMPLES = 10_000


def measure_difference(
    table: EmbeddingTable,
    recipes: tuple[TrainSettings, TrainSettings],
    seeds: int = 5,
    query_split: str = "test",
    say: Callable[[str], None] = print,
) -> None:
    """Say the mean of four mAP@all of both recipes at each code length, and their difference with its 95 % interval.

    Items without one of the modalities are left out. A query's value is its mean over the seeds: the interval is over
    queries, drawn in whole groups, and the sd over seeds.
    """
    table = table.select(table.paired)
    queries = (table.split == query_split) & table.labelled
    found: list[dict[int, np.ndarray]] = []  # of each recipe, by code length: float64[seeds, Q]
    for settings in recipes:
        by_seed: dict[int, list[np.ndarray]] = {bits: [] for bits in settings.all_bits}
        for seed in range(seeds):
            coder = trained_coder(table, settings.model_copy(update={"seed": seed}))
            logits = coder.all_logits(table.image, table.report)
            for bits in coder.bits:
                codes = {name: pack_codes(of[bits]) for name, of in logits.items()}
                by_seed[bits].append(precision_of_queries(codes, table, bits, query_split))
        found.append({bits: np.stack(values) for bits, values in by_seed.items()})
    for bits in found[0]:
        ours, theirs = found[0][bits], found[1][bits]
        means = [mean_and_sd(values.mean(1)) for values in (ours, theirs)]
        gain = (ours.mean(0) - theirs.mean(0))[:, None]
        low, high = bootstrap_interval(gain, table.group[queries], RESAMPLES)
        texts = [f"{mean:.4f} ± {sd:.4f}" for mean, sd in means]
        say(f"{bits} bits: {texts[0]} against {texts[1]}: {gain.mean():+.4f} ({low[0]:+.4f} to {high[0]:+.4f})")
    say(f"mAP@all, mean of four, {queries.sum():,} queries of split {query_split}, {seeds} seeds")


def precision_of_queries(
    codes: Mapping[str, np.ndarray], table: EmbeddingTable, bits: int, query_split: str
) -> np.ndarray:
    """float64[Q]: average precision of each labelled query, mean of both directions and of both databases."""
    query = np.flatnonzero(table.split == query_split)
    values = []
    for direction, (asked, stored) in PROTOCOLS[0].directions.items():
        for database in HEADLINE_DATABASES:
            rows = np.flatnonzero(database_rows(table, database, query_split))
            where = (PROTOCOLS[0].name, direction, database)
            condition = Condition.of(where, table, (codes[asked], codes[stored]), bits, query, rows)
            assert condition is not None, "a labelled archive has labelled queries and items"
            parts = [average_precision(ranking) for ranking in condition.rankings(table.labels)]
            values.append(np.concatenate(parts))
    mean: np.ndarray = np.mean(values, 0)
    return mean
