"""What re-ranking a shortlist is worth: 16-bit codes select the shortlist, finer scores order it.

Three finer scores are measured: the query's real-valued logits against the stored codes (asymmetric; the archive
stores nothing more), a longer code column, and real-valued vectors (which the archive would have to store as well).

Shapes: Q queries · N items · S shortlist · K bits.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.evaluation.average_precision import average_precision
from mcmfh.evaluation.average_precision_ucmfh import average_precision_ucmfh
from mcmfh.evaluation.pairs import equal_pairs
from mcmfh.evaluation.protocols import HEADLINE_DATABASES, PROTOCOLS, database_rows, present
from mcmfh.evaluation.ranking import TIES, TiedRanking, cosine, rank_codes, rank_scores
from mcmfh.evaluation.score_rows import score_rows
from mcmfh.evaluation.scores import Score
from mcmfh.hamming import hamming_distances

# (query row, item rows int[S]) → float[S]; a greater score ranks first
Rescore = Callable[[int, np.ndarray], np.ndarray]


def by_code(query_codes: np.ndarray, database_codes: np.ndarray) -> Rescore:
    """Minus the Hamming distance of codes uint8[·, B] of any length."""
    return lambda query, items: -hamming_distances(database_codes[items], query_codes[query]).astype(np.float64)


def asymmetric(query_logits: np.ndarray, database_codes: np.ndarray) -> Rescore:
    """Σ_k logit_k · (±1 of the stored bit k): query logits float[Q, K] against codes uint8[N, B]."""
    bits = query_logits.shape[1]

    def score(query: int, items: np.ndarray) -> np.ndarray:
        sign = 2.0 * np.unpackbits(database_codes[items], axis=1, bitorder="little", count=bits) - 1
        scores: np.ndarray = sign @ query_logits[query]
        return scores

    return score


def by_vector(query_vectors: np.ndarray, database_vectors: np.ndarray) -> Rescore:
    """Cosine of float[·, D]."""
    return lambda query, items: cosine(query_vectors[query : query + 1], database_vectors[items])[0]


def reranked(
    query_codes: np.ndarray,
    database_codes: np.ndarray,
    query_labels: np.ndarray,
    database_labels: np.ndarray,
    rescore: Rescore,
    shortlist: int = 200,
    own: tuple[np.ndarray, np.ndarray] | None = None,
) -> TiedRanking:
    """The ranking in which `rescore` orders the `shortlist` nearest codes and all other items tie behind them.

    The shortlist is cut by (distance, row), as the search engine cuts it. `own` as in `rank_codes`.
    """
    left_out: list[list[int]] = [[] for _ in query_codes]
    for query, item in zip(*equal_pairs(*own)) if own is not None else ():
        left_out[query].append(item)
    items, relevant = np.zeros((2, len(query_codes), shortlist + 1), np.int64)
    for query, code in enumerate(query_codes):
        hits = (query_labels[query] & database_labels).any(1)
        distance = hamming_distances(database_codes, code)
        candidates = np.delete(np.arange(len(database_codes)), left_out[query])
        near = candidates[np.argsort(distance[candidates], kind="stable")[:shortlist]]
        ranking = rank_scores(rescore(query, near)[None], hits[near][None])
        items[query, : len(near)], relevant[query, : len(near)] = ranking.items[0], ranking.relevant[0]
        items[query, -1], relevant[query, -1] = len(candidates) - len(near), hits[candidates].sum() - hits[near].sum()
    return TiedRanking(items, relevant)


def reranked_pair_ranks(
    query_codes: np.ndarray, database_codes: np.ndarray, group: np.ndarray, rescore: Rescore, shortlist: int = 200
) -> tuple[np.ndarray, np.ndarray]:
    """(closer int64[N], tied int64[N]) as `pair_ranks` gives them, of N pairs whose shortlist `rescore` orders.

    An answer, a group int[N] of pairs, is as good as its best member in the shortlist; one without a member there is
    behind all others. The shortlist is cut as in `reranked`.
    """
    closer, tied = np.full(len(group), len(group)), np.ones(len(group), np.int64)
    for query, code in enumerate(query_codes):
        near = np.argsort(hamming_distances(database_codes, code), kind="stable")[:shortlist]
        answers, of_item = np.unique(group[near], return_inverse=True)
        best = np.full(len(answers), -np.inf)
        np.maximum.at(best, of_item, rescore(query, near))
        if (own := best[answers == group[query]]).size:
            closer[query], tied[query] = (best > own).sum(), (best == own).sum()
    return closer, tied


def evaluate_reranking(
    codes: Mapping[str, np.ndarray],
    table: EmbeddingTable,
    bits: int,
    logits: Mapping[str, np.ndarray] | None = None,
    longer: Mapping[str, np.ndarray] | None = None,
    vectors: Mapping[str, np.ndarray] | None = None,
    shortlist: int = 200,
    query_split: str = "test",
    databases: Sequence[str] = HEADLINE_DATABASES,
    resamples: int = 1000,
) -> list[Score]:
    """mAP@50 (both conventions, single/single) of `codes` alone and after re-ranking by each score that is given.

    Each mapping is by modality ("image", "report") and its rows are the items of `table`: `codes` uint8[N, bits/8];
    `logits` float[N, bits], whose signs are the codes; `longer` codes uint8[N, ·]; `vectors` float[N, D]. The table
    needs labels; items without any are neither query nor database item, and a condition without either has no score.
    Raises InputError when a group stands on two
    sides of the split.
    """
    table.refuse_straddling()
    rescorers: list[tuple[str, Callable[..., Rescore], Mapping[str, np.ndarray], Mapping[str, np.ndarray]]] = []
    if logits is not None:
        rescorers.append(("asymmetric", asymmetric, logits, codes))
    if longer is not None:
        rescorers.append((f"{8 * longer['image'].shape[1]}-bit codes", by_code, longer, longer))
    if vectors is not None:
        rescorers.append(("real-valued vectors", by_vector, vectors, vectors))
    scores: list[Score] = []
    for direction, (asked, stored) in PROTOCOLS[0].directions.items():
        queries = (table.split == query_split) & present(table, asked)
        query = np.flatnonzero(queries & table.labelled)
        for database in databases:
            chosen = database_rows(table, database, query_split) & present(table, stored)
            rows = np.flatnonzero(chosen & table.labelled)
            if not len(query) or not len(rows):
                continue
            unlabelled = int(queries.sum()) - len(query), int(chosen.sum()) - len(rows)
            arguments = codes[asked][query], codes[stored][rows], table.labels[query], table.labels[rows]
            own = table.study[query], table.study[rows]
            alone = rank_codes(*arguments, bits, own=own)
            rankings = {f"{bits} bits alone": alone}
            for name, rescorer, of_query, of_database in rescorers:
                rescore = rescorer(of_query[asked][query], of_database[stored][rows])
                rankings[f"{bits} bits, first {shortlist} by {name}"] = reranked(*arguments, rescore, shortlist, own)
            condition = (PROTOCOLS[0].name, direction, database)
            items = round(alone.items.sum() / max(1, len(query)))
            for name, ranking in rankings.items():
                values: dict[tuple[str, str], np.ndarray] = {}
                for measure, function in (("mAP@50", average_precision), ("mAP@50 UCMFH", average_precision_ucmfh)):
                    values |= {(f"{measure}, {name}", ties): function(ranking, at=50, ties=ties) for ties in TIES}
                    values[f"{measure}, {name}", "random"] = function(ranking.shuffled(), at=50)
                names = list(dict.fromkeys(measure for measure, _ in values))
                scores += score_rows(
                    names, values, table.group[query], condition, alone.chance, items, resamples, unlabelled
                )
    return scores
