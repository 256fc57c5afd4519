"""Measure how good codes and statements are, on an embedded archive with labels. (jobs/benchmark.py measures speed.)

python jobs/measure.py small archive.manifest=… store=…
python jobs/measure.py reliability archive.manifest=… store=… --plot reliability.svg
python jobs/measure.py findings archive.manifest=… store=… evaluate.families=[finding,region]
"""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from mcmfh.embeddings.table import EmbeddingTable
    from mcmfh.hashing.settings import TrainSettings

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)


@app.callback()
def main() -> None:
    """One command a question."""


def settings_and_table(overrides: list[str]) -> "tuple[TrainSettings, EmbeddingTable]":
    """Those of the archive that `overrides` name. Ray says which device its embeddings were made on."""
    from mcmfh import ray_session
    from mcmfh.config import load_config

    config = load_config(overrides)
    ray_session.connect(config.cluster)
    from mcmfh.pipeline.archive import read_archive
    from mcmfh.pipeline.train import embedding_table

    return config.train, embedding_table(config, read_archive(config.archive))[1]


@app.command()
def small(overrides: list[str], seeds: int = 6) -> None:
    """Accuracy on held-out items when 24, 40 and 100 pairs train."""
    settings, table = settings_and_table(overrides)
    from mcmfh.benchmarks.accuracy.small_archives import measure_small

    typer.echo(measure_small(table, settings, seeds=seeds, say=typer.echo))


@app.command()
def reliability(overrides: list[str], plot: Path | None = None) -> None:
    """Stated precision against observed on test items, with 100, 50, 10 and 0 % of validation items labelled."""
    settings, table = settings_and_table(overrides)
    from mcmfh.benchmarks.accuracy import reliability as measured

    found = measured.measure_reliability(table, settings, say=typer.echo)
    if plot:
        plot.write_text(measured.plot(found))


@app.command()
def findings(overrides: list[str]) -> None:
    """Finding within region and its likes, of every recipe at 16, 32 and 64 bits, as a Markdown table."""
    from mcmfh.benchmarks.accuracy.findings import measure_findings

    typer.echo(measure_findings(overrides))


if __name__ == "__main__":
    app()
