"""Archive → its own encoder: MCR towers pretrained on its pairs; a killed run resumes, a finished one is reused.

python jobs/pretrain.py archive.manifest=… store=… pretrain.size=tiny
python jobs/pretrain.py … pretrain.image_tower=packaged pretrain.report_tower=packaged pretrain.patch=32
python jobs/pretrain.py … pretrain.targets=graded       towards a guide, see train.towers; embed the archive first
python jobs/embed.py    archive.manifest=… store=… encoder.name=mcr encoder.source=<what this job printed>
"""

from mcmfh import ray_session
from mcmfh.command import run_job
from mcmfh.config import Config
from mcmfh.console import stage_bar
from mcmfh.pipeline.archive import read_archive


def main(config: Config) -> None:
    """Pretrain an encoder on the image-report pairs of the archive that archive.manifest lists."""
    archive = read_archive(config.archive)
    if config.pretrain.workers or config.pretrain.targets == "graded":  # which encode phrases
        ray_session.connect(config.cluster)
    from mcmfh.bulk.stage import stage
    from mcmfh.pipeline.pretrain import pretrain_archive

    with stage(config, "pretrain") if config.pretrain.workers else stage_bar("pretrain") as progress:
        done = pretrain_archive(config, archive, progress)
    for way, found in done.metrics.get("recall", {}).items():
        print(f"{way.replace('_', ' '):<16} {', '.join(f'{measure} {value:.3f}' for measure, value in found.items())}")
    print(f"encoder.name=mcr encoder.source={done.source}{' (trained before)' if done.reused else ''}")


if __name__ == "__main__":
    run_job(main)
