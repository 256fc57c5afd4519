"""Measure speed against peers. (jobs/stress.py measures what must survive.)

python jobs/benchmark.py hamming --output build/benchmark
python jobs/benchmark.py bulk --part packaged --workers 2 --manifest manifest.csv --output build/benchmark
python jobs/benchmark.py serve --items 1000000
"""

from pathlib import Path

import typer

OUTPUT = Path("build/benchmark")
app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)


@app.command()
def hamming(output: Path = OUTPUT, largest: int = 10**8) -> None:
    """The Hamming engine against faiss, usearch and numpy, on archives of 10⁵ items up to the largest."""
    from mcmfh.benchmarks.hamming import SIZES, run_suite, write_report

    typer.echo(write_report(run_suite([n for n in SIZES if n <= largest], typer.echo), output))


@app.command()
def bulk(part: str = "packaged", manifest: str | None = None, workers: int = 2, units: int = 4, rounds: int = 2,
         tokenizer: Path | None = None, rival: Path | None = None, output: Path = OUTPUT) -> None:  # fmt: skip
    """The embedding job's cost: --part packaged | dicom | biomedclip | trivial | clip-retrieval (with --rival)."""
    from mcmfh.benchmarks.bulk import run_part, write_report

    typer.echo(write_report(run_part(part, manifest, workers, units, rounds, tokenizer, rival, typer.echo), output))


@app.command()
def serve(items: int = 10**6, rounds: int = 3, seconds: float = 4, reports: bool = True, part: str = "peers") -> None:
    """The endpoint against FastAPI + uvicorn + faiss (--part peers), or itself without tokens and audit (access)."""
    from mcmfh.benchmarks.serving.parts import run_part

    typer.echo(run_part(part, items, rounds, seconds, typer.echo, reports))


@app.command()
def training(pairs: int = 4000) -> None:
    """The training loop, and what Ray Train adds to its steps."""
    from mcmfh.benchmarks.training import run_training

    typer.echo(run_training(pairs))


@app.command()
def pretraining(size: str = "tiny", image_size: int = 224, batch: int = 64, rounds: int = 5) -> None:
    """Step time and peak memory of MCR's one masked stream against the usual two."""
    from mcmfh.benchmarks.pretraining import run
    from mcmfh.pretraining.settings import PretrainSettings as Settings

    typer.echo(run(Settings.model_validate({"size": size, "image_size": image_size, "batch_size": batch}), rounds))


if __name__ == "__main__":
    app()
