"""Measure how good codes and statements are, on an embedded archive with labels. (jobs/benchmark.py measures speed.)

python jobs/measure.py small | reliability [--plot FILE.svg] archive.manifest=… store=…
python jobs/measure.py findings archive.manifest=… store=… evaluate.families=[finding,region]
python jobs/measure.py difference archive.manifest=… store=… train.ensemble=4 --against train.ensemble=0
python jobs/measure.py pairs archive.manifest=… store=… train.bits=64
"""

import typer
from rich.markup import escape

from mcmfh.benchmarks.accuracy.connection import connected
from mcmfh.benchmarks.accuracy.findings import with_rows
from mcmfh.config import load_config

app = typer.Typer(no_args_is_help=True, add_completion=False, help=escape(__doc__))


@app.command()
def small(overrides: list[str], seeds: int = 6) -> None:
    """Accuracy on held-out items when 24, 40 and 100 pairs train."""
    config = connected(overrides)
    from mcmfh.benchmarks.accuracy import embedded, small_archives

    typer.echo(small_archives.measure_small(embedded.table(config), config.train, seeds=seeds, say=typer.echo))


@app.command()
def reliability(overrides: list[str], plot: typer.FileTextWrite | None = None) -> None:
    """Stated precision against observed on test items, with 100, 50, 10 and 0 % of validation items labelled."""
    config = connected(overrides)
    from mcmfh.benchmarks.accuracy import embedded, reliability

    found = reliability.measure_reliability(embedded.table(config), config.train, say=typer.echo)
    if plot:
        plot.write(reliability.plot(found))


@app.command()
def findings(overrides: list[str]) -> None:
    """Finding within region and its likes, of every recipe at 16, 32 and 64 bits, as a Markdown table."""
    config = connected(with_rows(overrides))
    from mcmfh.benchmarks.accuracy import embedded

    typer.echo(embedded.findings(config))


@app.command()
def difference(overrides: list[str], against: list[str] | None = None, seeds: int = 5, split: str = "test") -> None:
    """Whether these settings are better than with those of --against: mAP of both, with a paired bootstrap."""
    config, other = connected(overrides), load_config([*overrides, *(against or ())])
    from mcmfh.benchmarks.accuracy import difference, embedded

    table = embedded.table(config, config.train.reads_concepts or other.train.reads_concepts)
    difference.measure_difference(table, (config.train, other.train), seeds, split, typer.echo)


@app.command()
def pairs(overrides: list[str], beside: list[str] | None = None, seeds: int = 3, split: str = "test") -> None:
    """How often a query finds its own partner: R@10 of codes, alone and re-ranked by real values.

    --beside: settings, given once each, that name a second encoder, whose vectors re-rank too.
    """
    config = connected(overrides)
    from mcmfh.benchmarks.accuracy import embedded, pairs

    table = embedded.table(config, config.train.reads_concepts)
    second = embedded.table(load_config([*overrides, *beside])) if beside else None
    pairs.measure_pairs(table, config.train, seeds, split, typer.echo, second)
