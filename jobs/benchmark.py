"""Measure speed against what one would use instead.

python jobs/benchmark.py hamming --output build/benchmark
python jobs/benchmark.py archive-scale FOLDER --items 1000000
"""

from pathlib import Path

import typer

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)


@app.callback()
def main() -> None:
    """One command for each thing that is measured."""


@app.command()
def hamming(output: Path = Path("build/benchmark"), largest: int = 10**8) -> None:
    """The Hamming engine against faiss, usearch and numpy, on archives of 10⁵ items up to the largest."""
    from mcmfh.hamming.benchmark import SIZES, run_suite, write_report

    typer.echo(write_report(run_suite([n for n in SIZES if n <= largest], typer.echo), output))


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
