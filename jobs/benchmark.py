"""Measure speed against what one would use instead; jobs/stress.py measures what must survive.

python jobs/benchmark.py hamming --output build/benchmark
python jobs/benchmark.py training
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
def training(pairs: int = 4000) -> None:
    """The training loop, and what Ray Train adds to its steps."""
    from mcmfh.training.benchmark import run_training

    typer.echo(run_training(pairs))


if __name__ == "__main__":
    app()
