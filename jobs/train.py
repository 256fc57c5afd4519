"""Embeddings → model bundle: distributed MCMFH training; a killed run resumes, a finished one is reused.

python jobs/train.py archive.manifest=… store=… train.bits=32
python jobs/train.py archive.manifest=… store=… train.method=itq     (closed form, seconds)
"""

from mcmfh import ray_session
from mcmfh.command import run_job
from mcmfh.config import Config
from mcmfh.pipeline.archive import read_archive


def main(config: Config) -> None:
    """Train on the archive that archive.manifest lists; it must be embedded (jobs/embed.py)."""
    archive = read_archive(config.archive)
    ray_session.connect(config.cluster)
    from mcmfh.bulk.stage import stage
    from mcmfh.pipeline.train import train_archive

    with stage(config, "train") as progress:
        trained = train_archive(config, archive, progress=progress)
    embedded, listed = trained.embedded
    if embedded < listed:
        print(
            f"trained on a part: {embedded:,} of {listed:,} train and validation items are embedded; "
            "the others cannot be read, or wait for jobs/embed.py"
        )
    print(f"model {trained.number}{' (trained before)' if trained.reused else ''}: {trained.bundle}")


if __name__ == "__main__":
    run_job(main)
