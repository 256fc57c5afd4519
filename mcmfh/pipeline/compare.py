"""Comparison of methods that are trained and evaluated on an archive's stored embeddings."""

from mcmfh.archive.opened import Archive
from mcmfh.config import Config
from mcmfh.console import Advance
from mcmfh.encoders.mcr import described
from mcmfh.evaluation import Evaluation, write_report
from mcmfh.pipeline.comparison import ROWS, chosen_rows, compare
from mcmfh.pipeline.evaluate import Evaluated, covered
from mcmfh.pipeline.provenance import page_provenance
from mcmfh.pipeline.split import refuse_towers_that_saw
from mcmfh.pipeline.train import embedding_table
from mcmfh.store import files
from mcmfh.store.code_version import evaluation_code
from mcmfh.store.layout import evaluation_folder


def compare_on_archive(
    config: Config, archive: Archive, progress: Advance | None = None, results: str | None = None
) -> Evaluated:
    """Train and evaluate the rows of evaluate.compare, several seeds each, on the configured split.

    Finished rows and the page are in `results` (default: the store).
    """
    asked = config.evaluate
    store = results or config.store
    rows = chosen_rows(ROWS[asked.compare](config.train), asked.rows)
    concepts = any(row.settings and row.settings.reads_concepts for row in rows)
    spec, table = embedding_table(config, archive, concepts=concepts)
    refuse_towers_that_saw(spec, table)
    evaluations: list[Evaluation] = []
    measured = compare(rows, asked.seeds, table, spec, config.train.all_bits, store, asked.families)
    for done, more in enumerate(measured, 1):
        evaluations += more
        if progress:
            progress(done, len(rows) * asked.seeds)
    names = [row.name for row in rows]
    evaluations.sort(key=lambda each: (names.index(each.method), each.bits or 0, each.seed))
    note = f"{asked.compare}; encoder: {described(spec)}; {covered(table)}"
    name = files.digest([note, *(each.to_json() for each in evaluations)])[:16]
    settings = [[row.name, row.settings.work if row.settings else None] for row in rows]
    made = page_provenance(config, table, spec, settings, range(asked.seeds), evaluation_code())
    page = write_report(evaluations, evaluation_folder(store, name), note=note, provenance=made)
    return Evaluated(evaluations, page, made)
