"""The embedded archive that a command of jobs/measure.py names. To be imported once Ray is connected."""

from mcmfh.bulk.stage import stage
from mcmfh.config import Config
from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.hashing.settings import TrainSettings
from mcmfh.pipeline.archive import read_archive
from mcmfh.pipeline.compare import compare_on_archive
from mcmfh.pipeline.evaluate import Evaluated
from mcmfh.pipeline.train import embedding_table


def settings_and_table(config: Config) -> tuple[TrainSettings, EmbeddingTable]:
    """Those of the archive of `config`. Ray says which device its embeddings were made on."""
    return config.train, embedding_table(config, read_archive(config.archive))[1]


def compared(config: Config) -> Evaluated:
    """The rows of evaluate.compare on the archive of `config`, under a bar that shows how many are done."""
    archive = read_archive(config.archive)
    with stage(config, "findings") as progress:
        return compare_on_archive(config, archive, progress)
