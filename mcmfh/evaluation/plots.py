"""The plots of the report, each an inline SVG: score by bits, precision by rank, precision by recall."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from mcmfh.evaluation.protocols import SINGLE
from mcmfh.evaluation.scores import Evaluation, summarise


def all_plots(evaluations: Sequence[Evaluation]) -> list[str]:
    """SVG documents; a plot for which the evaluations hold no data is left out."""
    drawn = [score_by_bits(evaluations, "mAP@all"), score_by_bits(evaluations, "R@10")]
    drawn += [curves(evaluations, kind) for kind in ("precision by rank", "precision by recall")]
    return [svg for svg in drawn if svg]


def score_by_bits(evaluations: Sequence[Evaluation], measure: str) -> str:
    """Single/single scores on unseen items over the code length, both directions; "" where there is only one point."""
    rows = [
        row
        for row in summarise(evaluations)
        if row.score.protocol == SINGLE
        and row.score.measure == measure
        and row.score.database in ("unseen", "own split")
    ]
    if len({(row.method, row.bits) for row in rows}) < 2:
        return ""
    directions = list(dict.fromkeys(row.score.direction for row in rows))
    figure, panels = side_by_side(directions)
    for axes, direction in zip(panels, directions):
        here = [row for row in rows if row.score.direction == direction]
        for method in dict.fromkeys(row.method for row in here):
            points = sorted((row.bits, row.score.value, row.sd) for row in here if row.method == method and row.bits)
            if points:
                bits, values, deviations = zip(*points)
                axes.errorbar(bits, values, np.nan_to_num(deviations), marker="o", capsize=2, label=method)
            for row in here:
                if row.method == method and row.bits is None:
                    axes.axhline(row.score.value, linestyle="--", linewidth=1, color="grey")
                    axes.annotate(method, (0.01, row.score.value), xycoords=("axes fraction", "data"), fontsize=7)
        axes.axhline(here[0].score.chance, linestyle=":", color="black", label="chance")
        axes.set(title=direction, xlabel="bits", ylabel=f"{measure} ({here[0].score.database})")
        lengths = sorted({row.bits for row in here if row.bits})
        if lengths:
            axes.set_xscale("log", base=2)
            axes.set_xticks(lengths, [str(bits) for bits in lengths])
    return as_svg(figure, panels[0])


def curves(evaluations: Sequence[Evaluation], kind: str) -> str:
    """Curves of the unseen database, single/single; the first seed of each method at its shortest code length."""
    chosen: dict[str, Evaluation] = {}
    for each in sorted(evaluations, key=lambda each: (each.bits or 1 << 30, each.seed)):
        chosen.setdefault(each.method, each)
    labelled = [
        (f"{method} ({each.bits or 'real'})", curve)
        for method, each in chosen.items()
        for curve in each.curves
        if curve.kind == kind and curve.protocol == SINGLE and curve.database == "unseen"
    ]
    if not labelled:
        return ""
    directions = list(dict.fromkeys(curve.direction for _, curve in labelled))
    figure, panels = side_by_side(directions)
    for axes, direction in zip(panels, directions):
        for label, curve in labelled:
            if curve.direction == direction:
                axes.plot(curve.x, curve.y, marker=".", label=label)
        ranks = kind == "precision by rank"
        axes.set(
            title=direction, xlabel="rank N" if ranks else "recall, one point a Hamming radius", ylabel="precision"
        )
        if ranks:
            axes.set_xscale("log")
    return as_svg(figure, panels[0])


def side_by_side(titles: Sequence[str]) -> tuple[Any, Any]:
    """A figure and its axes, one a title, side by side."""
    # Not pyplot, which keeps figures in a global and wants a display.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * len(titles), 3.6), layout="constrained")
    return figure, figure.subplots(1, len(titles), squeeze=False, sharey=True)[0]


def as_svg(figure: Any, legend: Any) -> str:
    """The figure as an SVG element, the same bytes each time; `legend`: the axes that get one."""
    from matplotlib import rc_context

    legend.legend(fontsize=7, frameon=False)
    with rc_context({"svg.hashsalt": "mcmfh"}):
        sink = io.StringIO()
        figure.savefig(sink, format="svg", metadata={"Date": None})
    return sink.getvalue()[sink.getvalue().index("<svg") :]
