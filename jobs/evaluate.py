"""Honest scores: tie-aware, single-modality queries, held-out groups, chance beside every number.

python jobs/evaluate.py archive.manifest=… store=…                               the model hash.bundle
python jobs/evaluate.py archive.manifest=… store=… evaluate.compare=methods      recipes and baselines, several seeds
python jobs/evaluate.py … evaluate.compare=encoder | pretraining                 R@K and P@K of embeddings, by cosine
python jobs/evaluate.py … evaluate.compare=ablation | bits, evaluate.train_until=2023-01-01, evaluate.train_manifest=…
"""

from mcmfh import ray_session
from mcmfh.command import run_job
from mcmfh.config import Config
from mcmfh.console import terminal
from mcmfh.evaluation import family_table, headline_table, score_table
from mcmfh.pipeline.archive import read_archive


def main(config: Config) -> None:
    """Evaluate on the test split of the archive that archive.manifest lists."""
    archive = read_archive(config.archive)
    ray_session.connect(config.cluster)
    from mcmfh.bulk.stage import stage
    from mcmfh.pipeline.compare import compare_on_archive
    from mcmfh.pipeline.compare_pretraining import compare_pretraining
    from mcmfh.pipeline.encoder import with_tuned_towers
    from mcmfh.pipeline.evaluate import evaluate_encoder, evaluate_latest

    config = with_tuned_towers(config)
    asked, console = config.evaluate.compare, terminal(width=140)
    with stage(config, "evaluate") as progress:
        if asked == "model":
            found = evaluate_latest(config, archive)
        elif asked == "encoder":
            found = evaluate_encoder(config, archive)
        else:
            found = (compare_pretraining if asked == "pretraining" else compare_on_archive)(config, archive, progress)
    if asked in ("encoder", "pretraining"):
        console.print(
            score_table(found.evaluations, ("R@1", "R@5", "R@10", "P@10", "P@50"), provenance=found.provenance)
        )
    else:
        console.print(headline_table(found.evaluations, found.provenance))
        if families := family_table(found.evaluations):
            console.print(families)
    print(f"report: {found.report}")


if __name__ == "__main__":
    run_job(main)
