"""Training and evaluation of a model on an archive's stored embeddings, as the jobs and the demo call them."""

from dataclasses import dataclass

from mcmfh import ray_session, storage
from mcmfh.bulk.archive_run import current_spec
from mcmfh.bulk.embed import embeddings_folder
from mcmfh.config import Config
from mcmfh.encoders import EncoderSpec
from mcmfh.encoders.table import EmbeddingTable
from mcmfh.evaluation import Evaluation, evaluate
from mcmfh.hashing import load_bundle, registry
from mcmfh.snapshots.archive import Archive
from mcmfh.snapshots.embeddings import load_embeddings


@dataclass(frozen=True)
class Trained:
    """A model of the store: `number` among its models, `reused` when it had been trained before."""

    bundle: str
    number: int
    reused: bool


def embedding_table(config: Config, archive: Archive) -> tuple[EncoderSpec, EmbeddingTable]:
    """What is embedded of the archive by the configured encoder."""
    spec = current_spec(config)
    folder = embeddings_folder(config.store, spec)
    return spec, load_embeddings(folder, archive.items, (spec.image_width, spec.report_width))


def train_archive(config: Config, archive: Archive) -> Trained:
    """Train on the archive's training split and register the bundle as the store's latest model.

    The run is named by its settings and its data, so that a restarted run resumes and a finished one is found.
    """
    raise NotImplementedError
