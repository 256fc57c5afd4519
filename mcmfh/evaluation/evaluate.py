"""All measures of a set of codes, against every database, under each protocol whose codes it holds.

Shapes: N items of the table · Q queries. A table without labels gets R@K and nothing else.

A condition is (protocol, direction, database): what a score is measured under.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.errors import InputError
from mcmfh.evaluation.average_precision import average_precision
from mcmfh.evaluation.average_precision_dcmht import average_precision_dcmht
from mcmfh.evaluation.average_precision_ucmfh import average_precision_ucmfh
from mcmfh.evaluation.condition import Condition
from mcmfh.evaluation.families import label_families
from mcmfh.evaluation.family_scores import family_scores
from mcmfh.evaluation.gain import inverse_frequency
from mcmfh.evaluation.graded_scores import graded_scores
from mcmfh.evaluation.leaks import APART, met_in_train
from mcmfh.evaluation.null import headline_null
from mcmfh.evaluation.pair_recall import pair_ranks, pair_recall, random_recalls
from mcmfh.evaluation.pairs import answer_groups
from mcmfh.evaluation.precision import precision, precision_by_rank
from mcmfh.evaluation.protocols import DATABASES, PROTOCOLS, SINGLE, database_rows, present
from mcmfh.evaluation.radius import lookup_precision, radius_curve, random_lookup
from mcmfh.evaluation.ranking import TIES
from mcmfh.evaluation.score_rows import score_rows
from mcmfh.evaluation.scores import Curve, Evaluation, Score
from mcmfh.learning.validation import CUTOFFS

# name → (measure, how many items of the ranking it reads; None: all)
RANKED: dict[str, tuple[Callable[..., np.ndarray], int | None]] = {
    "mAP@all": (average_precision, None),
    "mAP@50": (partial(average_precision, at=50), 50),
    "mAP@50 UCMFH": (partial(average_precision_ucmfh, at=50), 50),
    "mAP@5000 DCMHT": (partial(average_precision_dcmht, at=5000), None),
    "P@10": (partial(precision, at=10), 10),
    "P@50": (partial(precision, at=50), 50),
}
# The columns that scores are computed from, beside the embeddings.
COLUMNS = ("has_image", "has_report", "split", "group", "study", "text_key", "labels")
LOOKUP = "lookup ≤ 2"
CURVE_RANKS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


def evaluate(
    codes: Mapping[str, np.ndarray],
    table: EmbeddingTable,
    bits: int | None,
    method: str = "",
    seed: int = 0,
    supervised: bool = False,
    query_split: str = "test",
    databases: Sequence[str] = DATABASES,
    resamples: int = 1000,
    families: Sequence[str] | None = None,
    settings: str = "",
    permutations: int | None = None,
) -> Evaluation:
    """Every score of `codes` (as `Hasher.hash` gives them: uint8[N, bits/8], or float[N, D] with bits None).

    Rows are the items of `table`. `families` are label families from fine to coarse (see `label_families`); None finds
    them in the labels' names. `permutations`: of the headline's null, see `headline_null`.

    Raises InputError when the codes do not fit it or are not finite, `query_split` is empty, a family has no labels, or
    a group stands on two sides of the split.
    """
    table.refuse_straddling()
    for name, rows in codes.items():
        if len(rows) != len(table):
            raise InputError(f"codes '{name}' have {len(rows)} rows, the table {len(table)}; hash the same table")
        if bad := int((present(table, name) & ~np.isfinite(rows).all(1)).sum()):
            raise InputError(
                f"vectors '{name}' of {bad} items are not finite, so nothing can rank them; embed them again"
            )
    if not (table.split == query_split).any():
        raise InputError(f"no item is in split '{query_split}'; name a split that the manifest has")
    by_family = label_families(table.label_names, table.labels, families)
    trained = table.split == "train"
    idf = inverse_frequency(table.labels[trained] if table.labels[trained].any() else table.labels)
    scores: list[Score] = []
    curves: list[Curve] = []
    for protocol in PROTOCOLS:
        for direction, (asked, stored) in protocol.directions.items():
            if asked not in codes or stored not in codes:
                continue
            query = np.flatnonzero((table.split == query_split) & present(table, asked))
            for database in databases:
                rows = np.flatnonzero(database_rows(table, database, query_split) & present(table, stored))
                where = (protocol.name, direction, database)
                if condition := Condition.of(where, table, (codes[asked], codes[stored]), bits, query, rows):
                    more_scores, more_curves = _label_scores(condition, resamples)
                    scores += more_scores
                    scores += family_scores(condition, by_family, resamples)
                    scores += graded_scores(condition, idf, resamples)
                    curves += more_curves
            if protocol.name == SINGLE:
                where = (protocol.name, direction, "own split")
                scores += _pair_scores(codes[asked], codes[stored], table, query_split, bits, where, resamples)
    null = headline_null(codes, table, bits, query_split, databases, permutations)
    return Evaluation(method, bits, seed, query_split, supervised, tuple(scores), tuple(curves), settings, null)


def _label_scores(condition: Condition, resamples: int) -> tuple[list[Score], list[Curve]]:
    """Scores and curves in which an item is relevant when it shares any label with the query."""
    ranks = [rank for rank in CURVE_RANKS if rank <= len(condition.rows)]
    values: dict[tuple[str, str], list[np.ndarray]] = defaultdict(list)
    precisions, items, relevant, balls = [], [], [], []
    for ranking in condition.rankings(condition.table.labels):
        for name, (measure, depth) in RANKED.items():
            seen = ranking if depth is None else ranking.head(depth)
            for view in TIES:
                values[name, view].append(measure(seen, ties=view))
            values[name, "random"].append(measure(ranking.shuffled()))
        precisions.append(precision_by_rank(ranking, ranks))
        items.append(ranking.items.sum(1))
        relevant.append(ranking.relevant.sum(1))
        if condition.bits is not None:
            balls.append(ranking)
    counts = np.concatenate(items), np.concatenate(relevant)
    by_rank = np.concatenate(precisions).mean(0)
    curves = [Curve("precision by rank", *condition.name, tuple(map(float, ranks)), _floats(by_rank))]
    for ranking in balls:
        # Lookup counts the items of a ball, so ties cannot change it.
        values |= {(LOOKUP, view): [lookup_precision(ranking)] for view in TIES}
        values[LOOKUP, "random"] = [random_lookup(ranking)]
        curve = radius_curve(ranking)
        curves.append(Curve("precision by recall", *condition.name, curve.recall, curve.precision))
    names = [*RANKED, *([LOOKUP] if balls else [])]
    joined = {key: np.concatenate(parts) for key, parts in values.items()}
    scores = _with_apart(
        names, joined, condition.table, condition.query, condition.name, counts, resamples, condition.unlabelled
    )
    return scores, curves


def _with_apart(
    names: list[str],
    values: dict[tuple[str, str], np.ndarray],
    table: EmbeddingTable,
    query: np.ndarray,
    condition: tuple[str, str, str],
    counts: tuple[np.ndarray, np.ndarray],
    resamples: int,
    unlabelled: tuple[int, int] = (0, 0),
) -> list[Score]:
    """The scores of all queries and, where training has met some of them, of the others alone.

    `counts`: database items of each query, and the relevant ones among them; int[Q] each.
    """
    scores = []
    apart = ~met_in_train(table)[query]
    for chosen, suffix in ((np.ones(len(query), bool), ""), (apart, APART)):
        if suffix and not 0 < chosen.sum() < len(query):
            continue
        of_chosen = {(name + suffix, view): column[chosen] for (name, view), column in values.items()}
        items, relevant = (count[chosen].sum() for count in counts)
        scores += score_rows(
            [name + suffix for name in names],
            of_chosen,
            table.group[query[chosen]],
            condition,
            float(relevant / max(1, items)),
            round(items / chosen.sum()),
            resamples,
            unlabelled,
        )
    return scores


def _pair_scores(
    asked: np.ndarray,
    stored: np.ndarray,
    table: EmbeddingTable,
    query_split: str,
    bits: int | None,
    condition: tuple[str, str, str],
    resamples: int,
) -> list[Score]:
    """R@K among those items of the queries' split that have both modalities; equal texts are one answer."""
    rows = np.flatnonzero((table.split == query_split) & table.paired)
    if not len(rows):
        return []
    group = answer_groups(table.select(rows))
    ranks = pair_ranks(asked[rows], stored[rows], group, group)
    answers = len(np.unique(group))
    values = {(f"R@{at}", ties): pair_recall(ranks, at, ties) for at in CUTOFFS for ties in TIES}
    values |= {(f"R@{at}", "random"): value for at, value in random_recalls(stored[rows], group, CUTOFFS, bits).items()}
    names = [f"R@{at}" for at in CUTOFFS]
    counts = np.full(len(rows), answers), np.ones(len(rows), int)
    return _with_apart(names, values, table, rows, condition, counts, resamples)


def _floats(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
