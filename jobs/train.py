"""Embeddings → model bundle: distributed MCMFH training; a killed run resumes, a finished one is reused.

python jobs/train.py archive.manifest=… store=… train.bits=32
python jobs/train.py archive.manifest=… store=… train.method=itq     (closed form, seconds)
python jobs/train.py archive.manifest=… store=… train.towers=tuned   tune the packaged encoder first, and embed by it
"""

from mcmfh import ray_session
from mcmfh.command import run_job
from mcmfh.config import Config
from mcmfh.pipeline.archive import open_manifest, read_archive


def main(config: Config) -> None:
    """Train on the archive that archive.manifest lists; it must be embedded (jobs/embed.py)."""
    archive = read_archive(config.archive)
    ray_session.connect(config.cluster)
    from mcmfh.bulk.stage import stage
    from mcmfh.pipeline.embed import embed_archive
    from mcmfh.pipeline.towers import tune_towers
    from mcmfh.pipeline.train import train_archive

    if config.train.towers == "tuned":
        with stage(config, "pretrain") as progress:
            config, tuned = tune_towers(config, archive, progress)
        for manifest in filter(None, (config.evaluate.train_manifest, config.archive.manifest)):
            listed_there = open_manifest(config.archive.model_copy(update={"manifest": manifest}))
            with stage(config, "embed") as progress:
                print("\n".join(embed_archive(config, listed_there, progress).lines()))
        print(f"encoder.name=mcr encoder.source={tuned.source}{' (tuned before)' if tuned.reused else ''}")
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
