"""The embedded archive that a command of jobs/measure.py names. To be imported once Ray is connected."""

from mcmfh.benchmarks.accuracy.findings import findings_markdown
from mcmfh.bulk.stage import stage
from mcmfh.config import Config
from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.pipeline.archive import read_archive
from mcmfh.pipeline.compare import compare_on_archive
from mcmfh.pipeline.encoder import with_tuned_towers
from mcmfh.pipeline.train import embedding_table


def table(config: Config, concepts: bool = False) -> EmbeddingTable:
    """Its embeddings; `concepts`: with what the closed form reads beside them.

    Ray says which device they were made on.
    """
    return embedding_table(with_tuned_towers(config), read_archive(config.archive), concepts=concepts)[1]


def findings(config: Config) -> str:
    """The Markdown table of the rows of evaluate.compare, made under a bar that shows how many are done."""
    config, archive = with_tuned_towers(config), read_archive(config.archive)
    with stage(config, "findings") as progress:
        found = compare_on_archive(config, archive, progress)
    return f"{findings_markdown(found.evaluations)}\n\nreport: {found.report}"
