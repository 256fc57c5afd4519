"""Measure what an archive and its endpoint must survive: size, and the loss of parts.

python jobs/stress.py archive-scale FOLDER --items 1000000
python jobs/stress.py manifest-scale FOLDER --files 100000
python jobs/stress.py chaos --swaps 20 --kills 10
python jobs/stress.py slow-clients --connections 2000
"""

from pathlib import Path

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)


@app.command()
def archive_scale(folder: Path, items: int = 10**8, reports: bool = False) -> None:
    """Synthetic embeddings hashed, published and opened below FOLDER: time, and peak memory of each process."""
    from mcmfh import ray_session
    from mcmfh.config import ClusterConfig

    ray_session.connect(ClusterConfig())
    from mcmfh.archive.modality import MODALITIES
    from mcmfh.benchmarks.bulk.archive_scale import measure_archive

    typer.echo(str(measure_archive(items, str(folder), MODALITIES if reports else ("image",))))


@app.command()
def manifest_scale(folder: Path, files: int = 10**5, dicom: int = 10**4) -> None:
    """`mcmfh manifest` on so many files in MIMIC-CXR's layout, and on DICOM files, both made below FOLDER."""
    from mcmfh.benchmarks.bulk.manifest_scale import measure_manifest

    for line in measure_manifest(folder, files, dicom):
        typer.echo(line)


@app.command()
def chaos(swaps: int = 20, kills: int = 10, node: bool = True, layout: str = "single") -> None:
    """Snapshot swaps, replica kills and a node kill under load, every answer compared with the library's."""
    from mcmfh.benchmarks.serving.chaos import run_chaos

    typer.echo(run_chaos(swaps, kills, node, typer.echo, layout=layout))


@app.command()
def slow_clients(connections: int = 2000, seconds: float = 10, rounds: int = 3) -> None:
    """An honest client's latency while so many others send their requests by the byte, from 1 address and from 200."""
    from mcmfh.benchmarks.serving.slow_clients import run_slow_clients

    typer.echo(run_slow_clients(connections, seconds, rounds, typer.echo))


if __name__ == "__main__":
    app()
