"""Measure how good codes and statements are, on an embedded archive with labels. (jobs/benchmark.py measures speed.)

python jobs/measure.py small archive.manifest=… store=…
python jobs/measure.py reliability archive.manifest=… store=… --plot reliability.svg
python jobs/measure.py findings archive.manifest=… store=… evaluate.families=[finding,region]
"""

import sys
from pathlib import Path

import typer

from mcmfh.command import guarded

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)


@app.command()
def small(overrides: list[str], seeds: int = 6) -> None:
    """Accuracy on held-out items when 24, 40 and 100 pairs train."""
    from mcmfh.benchmarks.accuracy.connection import connected

    config = connected(overrides)
    from mcmfh.benchmarks.accuracy.embedded import settings_and_table
    from mcmfh.benchmarks.accuracy.small_archives import measure_small

    settings, table = settings_and_table(config)
    typer.echo(measure_small(table, settings, seeds=seeds, say=typer.echo))


@app.command()
def reliability(overrides: list[str], plot: Path | None = None) -> None:
    """Stated precision against observed on test items, with 100, 50, 10 and 0 % of validation items labelled."""
    from mcmfh.benchmarks.accuracy.connection import connected

    config = connected(overrides)
    from mcmfh.benchmarks.accuracy import reliability as measured
    from mcmfh.benchmarks.accuracy.embedded import settings_and_table

    settings, table = settings_and_table(config)
    found = measured.measure_reliability(table, settings, say=typer.echo)
    if plot:
        plot.write_text(measured.plot(found))


@app.command()
def findings(overrides: list[str]) -> None:
    """Finding within region and its likes, of every recipe at 16, 32 and 64 bits, as a Markdown table."""
    from mcmfh.benchmarks.accuracy.connection import connected
    from mcmfh.benchmarks.accuracy.findings import findings_markdown, with_rows

    config = connected(with_rows(overrides))
    from mcmfh.benchmarks.accuracy.embedded import compared

    found = compared(config)
    typer.echo(f"{findings_markdown(found.evaluations)}\n\nreport: {found.report}")


if __name__ == "__main__":
    sys.exit(guarded(app))
