"""Scores as rows of a table: the same columns on the console and in the HTML report."""

from collections.abc import Sequence

import numpy as np
from rich.table import Table

from mcmfh.evaluation.intervals import mean_and_sd
from mcmfh.evaluation.protocols import SINGLE
from mcmfh.evaluation.scores import Evaluation, Summary, summarise

# (name, is text)
COLUMNS = (
    ("method", True),
    ("bits", False),
    ("protocol", True),
    ("direction", True),
    ("database", True),
    ("measure", True),
    ("value", False),
    ("worst – best", False),
    ("95 % interval", False),
    ("chance", False),
    ("random order", False),
    ("queries × items", False),
)


def cells(row: Summary) -> list[str]:
    """One string for each of COLUMNS."""
    score = row.score
    deviation = f" ± {row.sd:.3f}" if row.seeds > 1 else ""
    return [
        row.method,
        "real" if row.bits is None else str(row.bits),
        score.protocol,
        score.direction,
        score.database,
        score.measure,
        f"{score.value:.3f}{deviation}",
        f"{score.worst:.3f} – {score.best:.3f}",
        f"{score.low:.3f} – {score.high:.3f}",
        f"{score.chance:.3f}",
        f"{score.random_order:.3f}",
        f"{score.queries:,} × {score.items:,}",
    ]


def score_table(
    evaluations: Sequence[Evaluation],
    measures: Sequence[str] = ("mAP@all", "mAP@50", "R@10"),
    protocols: Sequence[str] = (SINGLE,),
) -> Table:
    """A rich table of the chosen measures and protocols, one row a score, mean ± sd over seeds."""
    table = Table(title="tie-aware scores, chance beside each")
    for name, is_text in COLUMNS:
        table.add_column(name, justify="left" if is_text else "right")
    for row in summarise(evaluations):
        if row.score.measure in measures and row.score.protocol in protocols:
            table.add_row(*cells(row))
    return table


def headline_table(evaluations: Sequence[Evaluation]) -> Table:
    """One row a method, a column a code length: mean of four mAP@all (seen, unseen; both ways), and unseen."""
    lengths = sorted({each.bits for each in evaluations}, key=lambda bits: bits or 1 << 30)
    table = Table(title="mAP@all, single/single: mean of seen and unseen, both ways (unseen alone)")
    table.add_column("method")
    for bits in lengths:
        table.add_column("real" if bits is None else f"{bits} bits", justify="right")
    table.add_column("chance", justify="right")
    for name in dict.fromkeys(each.method for each in evaluations):
        mine = [each for each in evaluations if each.method == name]
        chance = mean_and_sd(np.array([score.chance for score in mine[0].scores if score.measure == "mAP@all"]))[0]
        columns = [_headline([each for each in mine if each.bits == bits]) for bits in lengths]
        table.add_row(name + (" (supervised)" if mine[0].supervised else ""), *columns, f"{chance:.3f}")
    return table


def _headline(seeds: list[Evaluation]) -> str:
    if not seeds:
        return ""
    mean, sd = mean_and_sd(np.array([each.mean() for each in seeds]))
    unseen, _ = mean_and_sd(np.array([each.mean(databases=("unseen",)) for each in seeds]))
    return f"{mean:.3f}" + (f" ± {sd:.3f}" if len(seeds) > 1 else "") + f" ({unseen:.3f})"
