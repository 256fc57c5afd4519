"""Coarse and fine side by side: mAP of any label, of each label family, and of each family within a coarser one."""

from collections.abc import Sequence

import numpy as np
from rich.table import Table

from mcmfh.evaluation.intervals import mean_and_sd
from mcmfh.evaluation.protocols import SINGLE
from mcmfh.evaluation.scores import Evaluation, Score

TITLE = "Coarse and fine: mAP@all by label family, and nDCG@10; single/single, unseen database, mean of both ways"
_MAP, _NDCG = "mAP@all", "nDCG@10"


def family_rows(evaluations: Sequence[Evaluation]) -> list[list[str]]:
    """A header, one row a method and code length (mean ± sd over seeds), and at the end chance; [] without families."""
    measures = _measures(evaluations)
    if not any(" " in measure for measure in measures):
        return []
    head = ["any label" if measure == _MAP else measure.removeprefix(f"{_MAP} ") for measure in measures]
    rows = [["method", "bits", *head]]
    for method, bits, supervised in dict.fromkeys((each.method, each.bits, each.supervised) for each in evaluations):
        own = [each for each in evaluations if (each.method, each.bits, each.supervised) == (method, bits, supervised)]
        rows.append(
            [own[0].title, "real" if bits is None else str(bits), *(_value(own, measure) for measure in measures)]
        )
    first = {measure: _unseen(evaluations[0], measure) for measure in measures}
    chances = [np.mean([score.chance for score in scores]) for scores in first.values()]
    return [*rows, ["chance", "", *(f"{chance:.3f}" for chance in chances)]]


def family_table(evaluations: Sequence[Evaluation]) -> Table | None:
    """`family_rows` as a rich table; None without families."""
    if not (rows := family_rows(evaluations)):
        return None
    table = Table(title=TITLE)
    for i, name in enumerate(rows[0]):
        table.add_column(name, justify="right" if i else "left")
    for row in rows[1:]:
        table.add_row(*row)
    return table


def _measures(evaluations: Sequence[Evaluation]) -> list[str]:
    """mAP@all of any label, of each family and of each within another; then nDCG@10."""
    names = dict.fromkeys(score.measure for each in evaluations[:1] for score in _of_unseen(each))
    return [name for name in names if name == _MAP or name.startswith(f"{_MAP} ")] + [_NDCG] * (_NDCG in names)


def _of_unseen(evaluation: Evaluation) -> list[Score]:
    return [score for score in evaluation.scores if (score.protocol, score.database) == (SINGLE, "unseen")]


def _unseen(evaluation: Evaluation, measure: str) -> list[Score]:
    return [score for score in _of_unseen(evaluation) if score.measure == measure]


def _value(seeds: list[Evaluation], measure: str) -> str:
    mean, sd = mean_and_sd(np.array([each.mean(measure, ("unseen",)) for each in seeds]))
    return f"{mean:.3f}" + (f" ± {sd:.3f}" if len(seeds) > 1 else "")
