"""Measure speed against what one would use instead.

python jobs/benchmark.py hamming --output build/benchmark
"""

from pathlib import Path

import typer

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)


@app.callback()
def main() -> None:
    """One command for each thing that is measured."""


@app.command()
def hamming(output: Path = Path("build/benchmark"), quick: bool = False) -> None:
    """The Hamming engine against faiss, usearch and numpy. --quick stays at a million items."""
    from mcmfh.hamming.benchmark import run_suite, write_report

    typer.echo(write_report(run_suite(quick, typer.echo), output))


if __name__ == "__main__":
    app()
