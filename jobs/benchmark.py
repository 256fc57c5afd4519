"""Measure speed against what one would use instead.

python jobs/benchmark.py hamming --output build/benchmark
python jobs/benchmark.py bulk --part packaged --workers 2 --manifest manifest.csv --output build/benchmark
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
def bulk(
    part: str = "packaged",
    manifest: str | None = None,
    workers: int = 2,
    units: int = 4,
    rounds: int = 2,
    tokenizer: Path | None = None,
    output: Path = Path("build/benchmark"),
) -> None:
    """The embedding job against its encoder alone: --part packaged | dicom | biomedclip (random weights) | trivial.

    --units of every worker in a job; --tokenizer: BiomedCLIP's folder, weights aside; all parts in --output are shown.
    """
    from mcmfh.bulk.benchmark import run_part, write_report

    typer.echo(write_report(run_part(part, manifest, workers, units, rounds, tokenizer, typer.echo), output))


if __name__ == "__main__":
    app()
