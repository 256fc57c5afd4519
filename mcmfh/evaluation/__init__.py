"""Measures that treat ties fairly, protocols that do not leak, and a report that says chance beside every score."""

from mcmfh.evaluation.average_precision import mean_average_precision
from mcmfh.evaluation.hasher import Hasher
from mcmfh.evaluation.measuring import evaluate
from mcmfh.evaluation.null import permutation_null
from mcmfh.evaluation.report import read_evaluations, write_report
from mcmfh.evaluation.scores import Evaluation, Score, summarise
from mcmfh.evaluation.tables import headline_table, score_table

__all__ = [
    "Evaluation",
    "Hasher",
    "Score",
    "evaluate",
    "headline_table",
    "mean_average_precision",
    "permutation_null",
    "read_evaluations",
    "score_table",
    "summarise",
    "write_report",
]
