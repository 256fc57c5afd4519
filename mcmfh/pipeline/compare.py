"""Comparison of methods that are trained and evaluated on an archive's stored embeddings."""

from mcmfh.archive.opened import Archive
from mcmfh.config import Config
from mcmfh.evaluation import Evaluation, write_report
from mcmfh.evaluation.splits import cross_dataset_split, temporal_split
from mcmfh.pipeline.archive import read_archive
from mcmfh.pipeline.comparison import ROWS, chosen_rows, compare
from mcmfh.pipeline.embed import Progress
from mcmfh.pipeline.evaluate import Evaluated, coverage_sentence
from mcmfh.pipeline.train import embedding_table
from mcmfh.store import files
from mcmfh.store.layout import evaluation_folder


def compare_on_archive(config: Config, archive: Archive, progress: Progress | None = None) -> Evaluated:
    """Train and evaluate the rows of evaluate.compare, several seeds each, on the configured split."""
    asked = config.evaluate
    spec, table = embedding_table(config, archive)
    split, embedded = "the manifest's split", coverage_sentence(table)
    if asked.train_manifest:
        other = config.archive.model_copy(update={"manifest": asked.train_manifest})
        _, source = embedding_table(config, read_archive(other))
        embedded += f"; of the training dataset {coverage_sentence(source)}"
        archives = asked.train_archive or f"not {config.archive.name}", config.archive.name
        table, split = cross_dataset_split(source, table, archives=archives), "train on another dataset"
    if asked.train_until:
        table, split = temporal_split(table, asked.train_until.isoformat()), f"train before {asked.train_until}"
    rows = chosen_rows(ROWS[asked.compare](config.train), asked.rows)
    evaluations: list[Evaluation] = []
    for done, more in enumerate(compare(rows, asked.seeds, table, spec, config.train.all_bits, config.store), 1):
        evaluations += more
        if progress:
            progress(done, len(rows) * asked.seeds)
    names = [row.name for row in rows]
    evaluations.sort(key=lambda each: (names.index(each.method), each.bits or 0, each.seed))
    note = f"{asked.compare}, {split}; encoder: {spec.name}; {embedded}"
    name = files.digest([note, *(each.to_json() for each in evaluations)])[:16]
    return Evaluated(evaluations, write_report(evaluations, evaluation_folder(config.store, name), note=note))
