"""Archive → embeddings, on every core or GPU of the cluster; a second run embeds only what is new.

python jobs/embed.py archive.manifest=s3://hospital/manifest.parquet store=s3://hospital/mcmfh
python jobs/embed.py … embed.dry_run=true      only estimate rows, bytes, memory and hours
"""

from mcmfh import ray_session
from mcmfh.command import run_job
from mcmfh.config import Config
from mcmfh.pipeline.archive import open_manifest


def main(config: Config) -> None:
    """Embed the archive that archive.manifest lists."""
    manifest = open_manifest(config.archive)
    ray_session.connect(config.cluster)
    from mcmfh.bulk.stage import stage
    from mcmfh.pipeline.dry_run import estimate
    from mcmfh.pipeline.embed import embed_archive

    with stage(config, "embed") as progress:
        if config.embed.dry_run:
            print(estimate(config, manifest))
            return
        done = embed_archive(config, manifest, progress)
    print("\n".join(done.lines()))


if __name__ == "__main__":
    run_job(main)
