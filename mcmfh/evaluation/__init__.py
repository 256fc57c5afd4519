"""Measures that treat ties fairly, protocols that do not leak, and a report that puts chance beside every score."""

from mcmfh.evaluation.average_precision import mean_average_precision
from mcmfh.evaluation.evaluate import evaluate
from mcmfh.evaluation.family_table import family_table
from mcmfh.evaluation.hasher import Hasher
from mcmfh.evaluation.null import permutation_null
from mcmfh.evaluation.pair_recall import pair_ranks, pair_recall
from mcmfh.evaluation.pairs import answer_groups
from mcmfh.evaluation.report import read_evaluations, write_report
from mcmfh.evaluation.reranking import evaluate_reranking
from mcmfh.evaluation.scores import Evaluation, Score, summarise
from mcmfh.evaluation.splits import cross_dataset_split, temporal_split
from mcmfh.evaluation.tables import headline_table, score_table

__all__ = [
    "Evaluation",
    "Hasher",
    "Score",
    "answer_groups",
    "cross_dataset_split",
    "evaluate",
    "evaluate_reranking",
    "family_table",
    "headline_table",
    "mean_average_precision",
    "pair_ranks",
    "pair_recall",
    "permutation_null",
    "read_evaluations",
    "score_table",
    "summarise",
    "temporal_split",
    "write_report",
]
