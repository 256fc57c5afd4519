"""Measure speed against what one would use instead.

python jobs/benchmark.py hamming --output build/benchmark
python jobs/benchmark.py pretraining --size small --batch 64
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
def pretraining(size: str = "tiny", image_size: int = 224, batch: int = 64, rounds: int = 5, amp: bool = False) -> None:
    """Step time and peak memory of MCR's one masked stream against the usual two."""
    from mcmfh.pretraining.benchmark import run
    from mcmfh.pretraining.settings import PretrainSettings

    given = {"size": size, "image_size": image_size, "batch_size": batch, "amp": amp, "workers": 0}
    typer.echo(run(PretrainSettings.model_validate(given), rounds))


@app.command()
def training(pairs: int = 4000) -> None:
    """The training loop, and what Ray Train adds to its steps."""
    from mcmfh import ray_session
    from mcmfh.config import ClusterConfig

    ray_session.connect(ClusterConfig())
    from mcmfh.training.benchmark import measure_training

    found = measure_training(pairs)
    typer.echo(f"training loop, {pairs} pairs, {found['bits']} bits at once: {found['loop']:.1f} s")
    plain, ray = (f"{seconds * 1e3:.0f} ms" for seconds in found["step"].values())
    typer.echo(f"a step on one thread: {plain} plain, {ray} as a worker of Ray Train, ratio {found['ratio']:.3f}")


if __name__ == "__main__":
    app()
