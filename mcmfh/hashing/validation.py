"""Scores of a model on validation, during training and for its bundle: pair recall, and mAP where items have labels."""

from collections.abc import Mapping

import numpy as np

from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.learning.validation import CUTOFFS, DIRECTIONS

LARGEST = 4096  # items that are compared with one another; more items cost the square and change the scores little


def sample(validation: EmbeddingTable) -> EmbeddingTable:
    """The first LARGEST items."""
    return validation.select(np.arange(min(LARGEST, len(validation))))


def validation_scores(codes: Mapping[str, np.ndarray], table: EmbeddingTable) -> dict[str, dict[str, float]]:
    """{"image_to_report" | "report_to_image" | "chance": {"R@1" … "R@10", with labels "mAP", "mAP finding" … too}}.

    `codes`: by modality, uint8[N, K/8], one row an item of `table`. Every item has both modalities and is query and
    database item, in mAP every labelled one. R@K counts equal texts as one answer, mAP leaves out a query's own study,
    ties are in expectation. Label families are those that the labels' names show (see `label_families`). The chance of
    a measure is what codes without knowledge get in it, in the direction where that is more: random codes of the same
    length in R@K, a database in random order in mAP.
    """
    # Imported late because they load numba, which only the worker that computes scores needs.
    from mcmfh.evaluation.average_precision import average_precision
    from mcmfh.evaluation.condition import Condition
    from mcmfh.evaluation.families import label_families
    from mcmfh.evaluation.family_scores import family_rankings
    from mcmfh.evaluation.pair_recall import pair_ranks, pair_recall, random_recalls
    from mcmfh.evaluation.pairs import answer_groups

    group, families = answer_groups(table), label_families(table.label_names, table.labels)
    every = np.arange(len(table))
    scores: dict[str, dict[str, float]] = {}
    chances: list[dict[str, float]] = []
    for way, (asked, stored) in DIRECTIONS.items():
        ranks = pair_ranks(codes[asked], codes[stored], group, group)
        scores[way] = {f"R@{k}": float(pair_recall(ranks, k).mean()) for k in CUTOFFS}
        bits = 8 * codes[stored].shape[1]
        chance = {f"R@{k}": float(x.mean()) for k, x in random_recalls(codes[stored], group, CUTOFFS, bits).items()}
        if condition := Condition.of(("", way, ""), table, (codes[asked], codes[stored]), bits, every, every):
            (ranking,) = condition.rankings(table.labels)
            scores[way]["mAP"] = float(average_precision(ranking).mean())
            chance["mAP"] = float(average_precision(ranking.shuffled()).mean())
            for family in family_rankings(condition, families):
                scores[way][f"mAP {family.name}"] = float(family.values(average_precision).mean())
                chance[f"mAP {family.name}"] = float(family.values(average_precision, shuffled=True).mean())
        chances.append(chance)
    return {**scores, "chance": {name: max(chance[name] for chance in chances) for name in chances[0]}}
