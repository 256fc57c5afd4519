"""Model bundle → honest scores: tie-aware, single-modality queries, held-out groups, chance beside every number.

python jobs/evaluate.py archive.manifest=… store=… hash.bundle=latest
"""

from rich.console import Console

from mcmfh import ray_session
from mcmfh.command import run_job
from mcmfh.config import Config
from mcmfh.evaluation import headline_table
from mcmfh.hashing import registry
from mcmfh.snapshots.archive import read_archive


def main(config: Config) -> None:
    """Evaluate the model hash.bundle on the test split of the archive that archive.manifest lists."""
    archive = read_archive(config.archive)
    ray_session.connect(config.cluster)
    from mcmfh.training.archive_training import evaluate_archive

    found = evaluate_archive(config, archive, registry.resolve(config.store, config.hash.bundle))
    Console().print(headline_table(found.evaluations))
    print(f"report: {found.report}")


if __name__ == "__main__":
    run_job(main)
