"""Archive → codes → a numbered snapshot that the endpoint serves; only new and changed items are encoded.

python jobs/hash_archive.py archive.manifest=s3://hospital/manifest.parquet store=s3://hospital/mcmfh
python jobs/hash_archive.py … embed.dry_run=true      only estimate rows, bytes, memory and hours
"""

from mcmfh import ray_session
from mcmfh.command import run_job
from mcmfh.config import Config
from mcmfh.pipeline.archive import open_manifest


def main(config: Config) -> None:
    """Hash the archive that archive.manifest lists with the model hash.bundle and publish a snapshot."""
    manifest = open_manifest(config.archive)
    ray_session.connect(config.cluster)
    from mcmfh.bulk.stage import stage
    from mcmfh.pipeline.dry_run import estimate
    from mcmfh.pipeline.encoder import with_tuned_towers
    from mcmfh.pipeline.hash import hash_archive

    with stage(config, "hash") as progress:
        if config.embed.dry_run:
            print(estimate(with_tuned_towers(config), manifest))
            return
        done = hash_archive(config, manifest, progress)
    print(f"snapshot {done.snapshot}: {done.items} items + {done.failed} quarantined = {done.inputs} inputs")
    for reason, count in done.reasons.items():
        print(f"  {count} × {reason}")
    if done.retired:
        numbers = ", ".join(map(str, done.retired))
        print(f"removed with their report texts, which an earlier version had parsed: snapshots {numbers}")


if __name__ == "__main__":
    run_job(main)
