"""Does it find the finding, or only the organ? Every recipe, with and without labels, at three code lengths.

python jobs/measure.py findings archive.manifest=… store=…          embed the archive first
"""

import json
from collections.abc import Sequence

import numpy as np

from mcmfh.evaluation import Evaluation
from mcmfh.evaluation.intervals import mean_and_sd
from mcmfh.evaluation.protocols import HEADLINE_DATABASES

BITS = (16, 32, 64)
# The recipes, the two baselines that come closest to them, and a ceiling: names of rows of evaluate.compare=methods.
ROWS = (
    "MCMFH (default",
    "MCMFH (concepts",
    "closed form",
    "MCMFH (supervised",
    "cca-itq",
    "contrastive-itq",
    "cca-cosine",
)
UNSEEN = ("unseen",)

Column = tuple[str, tuple[str, ...]]  # measure, databases whose mean it is


def with_rows(overrides: Sequence[str]) -> list[str]:
    """The settings of this table, which `overrides` may change but for the comparison itself."""
    rows = json.dumps(ROWS)
    return [f"train.bits={list(BITS)}", f"evaluate.rows={rows}", *overrides, "evaluate.compare=methods"]


def findings_markdown(evaluations: Sequence[Evaluation]) -> str:
    """A Markdown table: a row a method; by code length, mean ± sd over seeds; at the end the chance of each measure.

    Columns: mAP@all of any label, seen and unseen databases (the mean of four) and unseen alone; mAP@all of each label
    family within a coarser one; nDCG@10; pair R@10. All are means of both directions.
    """
    first, columns = evaluations[0], _columns(evaluations[0])
    lines = [_line(["", *columns]), "|---" * (len(columns) + 1) + "|"]
    for method, supervised in dict.fromkeys((each.method, each.supervised) for each in evaluations):
        own = [each for each in evaluations if (each.method, each.supervised) == (method, supervised)]
        lines.append(_line([method, *(_cell(own, *column) for column in columns.values())]))
    chances = [f"{first.chance(measure, databases):.3f}" for measure, databases in columns.values()]
    return "\n".join([*lines, _line(["chance", *chances])])


def _columns(evaluation: Evaluation) -> dict[str, Column]:
    """The columns that a labelled archive has, by their heads."""
    names = dict.fromkeys(score.measure for score in evaluation.scores)
    columns: dict[str, Column] = {
        "any label, mean of four": ("mAP@all", HEADLINE_DATABASES),
        "any label, unseen": ("mAP@all", UNSEEN),
    }
    for name in names:
        if name.startswith("mAP@all ") and " within " in name:
            columns[name.removeprefix("mAP@all ")] = (name, UNSEEN)
    more: dict[str, Column] = {"nDCG@10": ("nDCG@10", UNSEEN), "R@10": ("R@10", ("own split",))}
    return columns | {name: column for name, column in more.items() if name in names}


def _cell(own: Sequence[Evaluation], measure: str, databases: Sequence[str]) -> str:
    """The values of one method at each of its code lengths, then their largest deviation."""
    parts, deviations = [], []
    for bits in sorted({each.bits for each in own}, key=lambda bits: bits or 0):
        mean, sd = mean_and_sd(np.array([each.mean(measure, databases) for each in own if each.bits == bits]))
        parts.append(f"{mean:.3f}")
        deviations.append(sd)
    return " / ".join(parts) + (f" ± {max(deviations):.3f}" if len(own) > len(parts) else "")


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
