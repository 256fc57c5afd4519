"""The score of codes that carry no information: the permutation null.

Constant or skewed codes move a score away from P(relevant) without carrying information. The zero to compare with is
therefore the score of the SAME codes after those of one side were permuted among its items.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.evaluation.average_precision import average_precision
from mcmfh.evaluation.condition import Condition
from mcmfh.evaluation.pairs import equal_pairs
from mcmfh.evaluation.protocols import HEADLINE_DATABASES, PROTOCOLS, database_rows, present
from mcmfh.evaluation.ranking import Sorted, cosine, rank_codes
from mcmfh.evaluation.scores import Null


def permutation_null(
    query_codes: np.ndarray,
    database_codes: np.ndarray,
    query_labels: np.ndarray,
    database_labels: np.ndarray,
    bits: int,
    side: str = "query",
    permutations: int = 200,
    seed: int = 0,
    own: tuple[np.ndarray, np.ndarray] | None = None,
) -> np.ndarray:
    """float64[permutations], sorted: mAP@all with the codes of one `side` ("query" | "database") permuted.

    Items without labels are neither query nor database item, as in `evaluate`. `own` = (studies of the queries, studies
    of the database items): a query's own study is left out of its ranking, as in `evaluate`.

    Permute the side whose codes are in question (the images, say). The other side's codes agree with its labels, and
    permuting those would make the null too narrow. The 95 % null is the 2.5 % to 97.5 % quantile.
    """
    random = np.random.default_rng(seed)
    asked, stored = query_labels.any(1), database_labels.any(1)
    query_codes, query_labels = query_codes[asked], query_labels[asked]
    database_codes, database_labels = database_codes[stored], database_labels[stored]
    own = (own[0][asked], own[1][stored]) if own is not None else None

    def permuted(codes: np.ndarray, name: str) -> np.ndarray:
        return random.permutation(codes) if name == side else codes

    scores = [
        average_precision(
            rank_codes(
                permuted(query_codes, "query"),
                permuted(database_codes, "database"),
                query_labels,
                database_labels,
                bits,
                own=own,
            )
        ).mean()
        for _ in range(permutations)
    ]
    return np.sort(scores)


def headline_null(
    codes: Mapping[str, np.ndarray],
    table: EmbeddingTable,
    bits: int | None,
    query_split: str = "test",
    databases: Sequence[str] = HEADLINE_DATABASES,
    permutations: int | None = None,
    seed: int = 0,
) -> Null | None:
    """The null of the headline: mAP@all, single/single, of the same codes under the conditions of `evaluate`.

    Image codes and report codes are permuted, each on their own, among the labelled items of each split. The scores are
    means of many queries, so the interval is the mean ± 1.96 deviations of `permutations` of them (by default 100, of
    vectors 20). None without labels, and where fewer than two permutations are asked for.
    """
    permutations = (100 if bits else 20) if permutations is None else permutations
    random = np.random.default_rng(seed)
    as_item = [{name: _permuted(table, name, random) for name in ("image", "report")} for _ in range(permutations)]
    scores: dict[str, list[np.ndarray]] = {}
    for direction, (asked, stored) in PROTOCOLS[0].directions.items():
        if asked not in codes or stored not in codes:
            continue
        query = np.flatnonzero((table.split == query_split) & present(table, asked))
        for database in set(databases) & set(HEADLINE_DATABASES):
            rows = np.flatnonzero(database_rows(table, database, query_split) & present(table, stored))
            name = (PROTOCOLS[0].name, direction, database)
            condition = Condition.of(name, table, (codes[asked], codes[stored]), bits, query, rows)
            if condition and permutations > 1:
                pairs = [(items[asked], items[stored]) for items in as_item]
                scores.setdefault(database, []).append(_permuted_scores(condition, pairs))
    if not scores:
        return None
    return Null(_middle(scores, HEADLINE_DATABASES), _middle(scores, ("unseen",)))


def _permuted(table: EmbeddingTable, modality: str, random: np.random.Generator) -> np.ndarray:
    """int64[N]: the item that each item's code is given to."""
    other = np.arange(len(table))
    for split in np.unique(table.split):
        rows = np.flatnonzero((table.split == split) & table.labelled & present(table, modality))
        other[rows] = random.permutation(rows)
    return other


def _permuted_scores(condition: Condition, pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """float64[permutations]: mAP@all. Codes stay where they are, labels and studies move: the same, and sorted once."""
    sums, rows = np.zeros(len(pairs)), condition.rows
    labels, study = condition.table.labels, condition.table.study
    for part in condition.blocks(all_codes_at_once=True):
        asked, stored = condition.asked[part], condition.stored[rows]
        ranked = None if condition.bits else Sorted.of(cosine(asked, stored))
        for i, (of_query, of_item) in enumerate(pairs):
            query, item = of_query[part], of_item[rows]
            own = study[query], study[item]
            if ranked is None:
                assert condition.bits
                ranking = rank_codes(asked, stored, labels[query], labels[item], condition.bits, own=own)
            else:
                counted = np.ones((len(query), len(item)), bool)
                counted[equal_pairs(*own)] = False
                relevant = labels[query].astype(np.float32) @ labels[item].T.astype(np.float32) > 0
                ranking = ranked.ranking(relevant, counted)
            sums[i] += average_precision(ranking).sum()
    return sums / len(condition.query)


def _middle(scores: Mapping[str, Sequence[np.ndarray]], databases: Sequence[str]) -> tuple[float, float] | None:
    each = [values for database in databases for values in scores.get(database, ())]
    if len(each) < 2 * len(databases):
        return None
    mean = np.mean(each, 0)
    half = 1.96 * float(mean.std(ddof=1))
    return float(mean.mean()) - half, float(mean.mean()) + half
