"""All measures of a set of codes, against every database, under each protocol whose codes it holds.

Shapes: N items of the table · Q queries. A table without labels gets R@K and nothing else.

A *condition* is (protocol, direction, database): what a score is measured under.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np

from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.errors import InputError
from mcmfh.evaluation.average_precision import average_precision
from mcmfh.evaluation.average_precision_dcmht import average_precision_dcmht
from mcmfh.evaluation.average_precision_ucmfh import average_precision_ucmfh
from mcmfh.evaluation.intervals import bootstrap_interval
from mcmfh.evaluation.leaks import APART, met_in_train
from mcmfh.evaluation.pair_recall import pair_ranks, pair_recall, random_recalls
from mcmfh.evaluation.pairs import answer_groups
from mcmfh.evaluation.precision import precision, precision_by_rank
from mcmfh.evaluation.protocols import DATABASES, PROTOCOLS, SINGLE, database_rows, present
from mcmfh.evaluation.radius import lookup_precision, radius_curve, random_lookup
from mcmfh.evaluation.ranking import TIES, TiedRanking, rank_codes, rank_vectors
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
# Query-item pairs ranked at a time: the tables of a cosine ranking are as wide as the database.
_CELLS = 500_000


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
    settings: str = "",
) -> Evaluation:
    """Every score of `codes` (as `Hasher.hash` gives them: uint8[N, bits/8], or float[N, D] with bits None).

    Rows are the items of `table`. Raises InputError when the codes do not fit it, `query_split` is empty, or a group
    stands on two sides of the split.
    """
    table.refuse_straddling()
    for name, rows in codes.items():
        if len(rows) != len(table):
            raise InputError(f"codes '{name}' have {len(rows)} rows, the table {len(table)}; hash the same table")
    if not (table.split == query_split).any():
        raise InputError(f"no item is in split '{query_split}'; name a split that the manifest has")
    scores: list[Score] = []
    curves: list[Curve] = []
    for protocol in PROTOCOLS:
        for direction, (asked, stored) in protocol.directions.items():
            if asked not in codes or stored not in codes:
                continue
            query = np.flatnonzero((table.split == query_split) & present(table, asked))
            for database in databases:
                rows = np.flatnonzero(database_rows(table, database, query_split) & present(table, stored))
                condition = (protocol.name, direction, database)
                if table.labels.any():
                    more_scores, more_curves = _label_scores(
                        codes[asked], codes[stored], table, query, rows, bits, condition, resamples
                    )
                    scores += more_scores
                    curves += more_curves
            if protocol.name == SINGLE:
                condition = (protocol.name, direction, "own split")
                scores += _pair_scores(codes[asked], codes[stored], table, query_split, bits, condition, resamples)
    return Evaluation(method, bits, seed, query_split, supervised, tuple(scores), tuple(curves), settings)


def _label_scores(
    asked: np.ndarray,
    stored: np.ndarray,
    table: EmbeddingTable,
    query: np.ndarray,
    rows: np.ndarray,
    bits: int | None,
    condition: tuple[str, str, str],
    resamples: int,
) -> tuple[list[Score], list[Curve]]:
    # Whether an item without labels is relevant is unknown, so it is neither query nor database item.
    all_queries, all_rows = len(query), len(rows)
    query, rows = (each[table.labelled[each]] for each in (query, rows))
    if not len(query) or not len(rows):
        return [], []
    ranks = [rank for rank in CURVE_RANKS if rank <= len(rows)]
    values: dict[tuple[str, str], list[np.ndarray]] = defaultdict(list)
    precisions, items, relevant, balls = [], [], [], []
    for ranking in _rankings(asked, stored, table, query, rows, bits):
        for name, (measure, depth) in RANKED.items():
            seen = ranking if depth is None else ranking.head(depth)
            for view in TIES:
                values[name, view].append(measure(seen, ties=view))
            values[name, "random"].append(measure(ranking.shuffled()))
        precisions.append(precision_by_rank(ranking, ranks))
        items.append(ranking.items.sum(1))
        relevant.append(ranking.relevant.sum(1))
        if bits is not None:
            balls.append(ranking)
    curves = [
        Curve("precision by rank", *condition, tuple(map(float, ranks)), _floats(np.concatenate(precisions).mean(0)))
    ]
    for ranking in balls:
        # Lookup counts the items of a ball, so ties cannot change it.
        values |= {(LOOKUP, view): [lookup_precision(ranking)] for view in TIES}
        values[LOOKUP, "random"] = [random_lookup(ranking)]
        curve = radius_curve(ranking)
        curves.append(Curve("precision by recall", *condition, curve.recall, curve.precision))
    names = [*RANKED, *([LOOKUP] if balls else [])]
    joined = {key: np.concatenate(parts) for key, parts in values.items()}
    unlabelled = all_queries - len(query), all_rows - len(rows)
    counts = np.concatenate(items), np.concatenate(relevant)
    return _with_apart(names, joined, table, query, condition, counts, resamples, unlabelled), curves


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


def _rankings(
    asked: np.ndarray, stored: np.ndarray, table: EmbeddingTable, query: np.ndarray, rows: np.ndarray, bits: int | None
) -> Iterator[TiedRanking]:
    """The rankings of all queries without each query's own study: codes in one pass, vectors in blocks of queries."""
    blocks = 1 if bits is not None else -(-len(query) * len(rows) // _CELLS)
    for part in np.array_split(query, blocks):
        arguments = asked[part], stored[rows], table.labels[part], table.labels[rows]
        own = table.study[part], table.study[rows]
        yield rank_vectors(*arguments, own=own) if bits is None else rank_codes(*arguments, bits, own=own)


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


def score_rows(
    names: list[str],
    values: dict[tuple[str, str], np.ndarray],
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


def _floats(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
