"""Measure how good codes and statements are, on an embedded archive with labels. (jobs/benchmark.py measures speed.)

python jobs/measure.py small archive.manifest=… store=…
"""

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)


@app.callback()
def main() -> None:
    """One command a question."""


@app.command()
def small(overrides: list[str], seeds: int = 6) -> None:
    """Accuracy on held-out items when 24, 40 and 100 pairs train."""
    from mcmfh.benchmarks.accuracy.small_archives import measure_small
    from mcmfh.config import load_config
    from mcmfh.pipeline.archive import read_archive
    from mcmfh.pipeline.train import embedding_table

    config = load_config(overrides)
    _, table = embedding_table(config, read_archive(config.archive))
    typer.echo(measure_small(table, config.train, seeds=seeds, say=typer.echo))


if __name__ == "__main__":
    app()
