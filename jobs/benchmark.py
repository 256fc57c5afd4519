"""Measure speed against what one would use instead.

python jobs/benchmark.py hamming --output build/benchmark
python jobs/benchmark.py serve --items 1000000
python jobs/benchmark.py chaos --swaps 20 --kills 10
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
def serve(items: int = 10**6, rounds: int = 3, seconds: float = 4, reports: bool = True) -> None:
    """The endpoint against FastAPI + uvicorn + faiss, on a synthetic archive of so many items."""
    from mcmfh.serving.benchmark.report import table
    from mcmfh.serving.benchmark.suite import run_serving

    typer.echo(table(items, run_serving(items, rounds, seconds, typer.echo, reports)))


@app.command()
def chaos(swaps: int = 20, kills: int = 10, node: bool = True, layout: str = "single") -> None:
    """Snapshot swaps, replica kills and a node kill under load, every answer compared with the library's."""
    from mcmfh.serving.benchmark.chaos import run_chaos

    typer.echo(run_chaos(swaps, kills, node, typer.echo, layout=layout))


if __name__ == "__main__":
    app()
