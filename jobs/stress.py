"""Measure what an archive and its endpoint must survive: size, and the loss of parts.

python jobs/stress.py archive-scale FOLDER --items 1000000
"""

from pathlib import Path

import typer

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)


@app.callback()
def main() -> None:
    """One command for each thing that is measured."""


@app.command()
def archive_scale(folder: Path, items: int = 10**8, reports: bool = False) -> None:
    """Synthetic embeddings hashed, published and opened below FOLDER: time, and peak memory of each process."""
    from mcmfh import ray_session
    from mcmfh.config import ClusterConfig

    ray_session.connect(ClusterConfig())
    from mcmfh.bulk.benchmark.archive_scale import measure_archive

    modalities = ("image", "report") if reports else ("image",)
    typer.echo(str(measure_archive(items, str(folder), modalities)))


if __name__ == "__main__":
    app()
