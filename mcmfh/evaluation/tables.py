"""Scores as tables, with the same rows on the console and in the HTML report."""

from collections.abc import Sequence

import numpy as np
from rich.table import Table
from rich.text import Text

from mcmfh.evaluation.intervals import mean_and_sd
from mcmfh.evaluation.leaks import APART
from mcmfh.evaluation.protocols import SINGLE
from mcmfh.evaluation.provenance import Provenance
from mcmfh.evaluation.scores import Evaluation, Summary, summarise

MEASURE = "mAP@all"
SHOWN = 8  # characters of a digest of settings
HEADLINE = "mAP@all, single/single: mean of seen and unseen, both ways (unseen alone), each with its [permutation null]"
# (name, is text)
COLUMNS = (
    ("method", True),
    ("bits", False),
    ("direction", True),
    ("database", True),
    ("measure", True),
    ("value", False),
    ("worst – best", False),
    ("95 % interval", False),
    ("chance", False),
    ("relevant pairs", False),
    ("queries × items", False),
    ("settings", True),
)


def cells(row: Summary) -> list[str]:
    """One string for each of COLUMNS."""
    score = row.score
    left_out = ""
    if score.unlabelled_queries or score.unlabelled_items:
        left_out = f" (unlabelled: {score.unlabelled_queries:,} × {score.unlabelled_items:,})"
    deviation = f" ± {row.sd:.3f}" if row.seeds > 1 else ""
    return [
        row.method,
        "real" if row.bits is None else str(row.bits),
        score.direction,
        score.database,
        score.measure,
        f"{score.value:.3f}{deviation}",
        f"{score.worst:.3f} – {score.best:.3f}",
        f"{score.low:.3f} – {score.high:.3f}",
        f"{score.chance:.3f}",
        f"{score.relevant_pairs:.3f}",
        f"{score.queries:,} × {score.items:,}{left_out}",
        row.settings[:SHOWN],
    ]


def score_table(
    evaluations: Sequence[Evaluation],
    measures: Sequence[str] = ("mAP@all", "mAP@50", "R@10"),
    protocol: str = SINGLE,
    provenance: Provenance | None = None,
) -> Table:
    """A rich table of the chosen measures, one row a score, mean ± sd over seeds; `provenance` stands below."""
    table = Table(title=f"{protocol}: tie-aware scores, chance beside each", caption=_below(provenance))
    for name, is_text in COLUMNS:
        table.add_column(name, justify="left" if is_text else "right")
    for row in summarise(evaluations):
        if row.score.measure in measures and row.score.protocol == protocol:
            table.add_row(*cells(row))
    return table


def headline_rows(evaluations: Sequence[Evaluation]) -> list[list[str]]:
    """A header and one row a method: for each code length the mean of four mAP@all (seen and unseen, both directions),
    in brackets the mean of the two unseen ones, behind each its 95 % permutation null; the chance of both means; and a
    digest of its settings. "–" stands for a mean of which a score is missing. [] without labels.

    Where training has met some of the queries, a method has a second row, for the others alone.
    """
    labelled = [each for each in evaluations if each.measured()]
    lengths = sorted({each.bits for each in labelled}, key=_order)
    rows = [["method", *("real-valued" if bits is None else f"{bits} bits" for bits in lengths), "chance", "settings"]]
    kinds = [(each.method, each.supervised, each.settings) for each in labelled]
    for method, supervised, settings in dict.fromkeys(kinds):
        own = [each for each, kind in zip(labelled, kinds) if kind == (method, supervised, settings)]
        for suffix in ("", APART):
            measure = MEASURE + suffix
            chance, of_unseen = own[0].chance(measure), own[0].chance(measure, ("unseen",))
            if own[0].measured(measure):
                values = [_headline([each for each in own if each.bits == bits], measure) for bits in lengths]
                rows.append(
                    [own[0].title + suffix, *values, f"{_number(chance)} ({_number(of_unseen)})", settings[:SHOWN]]
                )
    return rows if labelled else []


def headline_table(evaluations: Sequence[Evaluation], provenance: Provenance | None = None) -> Table:
    """`headline_rows` as a rich table; `provenance` stands below."""
    table = Table(title=HEADLINE, caption=_below(provenance))
    head, *rows = headline_rows(evaluations) or [["no labels: see R@K"]]
    for i, name in enumerate(head):
        table.add_column(name, justify="right" if i else "left")
    for row in rows:
        table.add_row(*row)
    return table


def _below(provenance: Provenance | None) -> Text | None:
    return Text(provenance.line()) if provenance else None  # no markup: [16,32] is a value


def _headline(seeds: list[Evaluation], measure: str) -> str:
    if not seeds:
        return ""
    mean, sd = mean_and_sd(np.array([each.mean(measure) for each in seeds]))
    unseen, _ = mean_and_sd(np.array([each.mean(measure, ("unseen",)) for each in seeds]))
    deviation = f" ± {sd:.3f}" if len(seeds) > 1 and not np.isnan(sd) else ""
    nulls = [each.null for each in seeds if each.null and measure == MEASURE]
    of_mean, of_unseen = _null([null.mean for null in nulls]), _null([null.unseen for null in nulls])
    return f"{_number(mean)}{deviation}{of_mean} ({_number(unseen)}{of_unseen})"


def _null(intervals: Sequence[tuple[float, float] | None]) -> str:
    known = [interval for interval in intervals if interval]
    return " [{:.3f}–{:.3f}]".format(*np.mean(known, 0)) if known else ""


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}"


def _order(bits: int | None) -> int:
    return 1 << 30 if bits is None else bits
