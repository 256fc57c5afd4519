"""The embedded archive that a command of jobs/measure.py names."""

from collections.abc import Sequence

from mcmfh import ray_session
from mcmfh.config import load_config
from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.hashing.settings import TrainSettings
from mcmfh.pipeline.archive import read_archive
from mcmfh.pipeline.train import embedding_table


def settings_and_table(overrides: Sequence[str]) -> tuple[TrainSettings, EmbeddingTable]:
    """Those of the archive that `overrides` name. Ray says which device its embeddings were made on."""
    config = load_config(overrides)
    ray_session.connect(config.cluster)
    return config.train, embedding_table(config, read_archive(config.archive))[1]
