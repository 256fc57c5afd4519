"""Training a model on an archive's stored embeddings."""

from dataclasses import dataclass

from mcmfh.archive.opened import Archive
from mcmfh.bulk.embed import embeddings_folder
from mcmfh.config import Config
from mcmfh.embeddings.stored import load_embeddings
from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.encoders import EncoderSpec
from mcmfh.errors import InputError
from mcmfh.hashing import registry
from mcmfh.pipeline.embed import current_spec
from mcmfh.store import files
from mcmfh.training.mcmfh import train


@dataclass(frozen=True)
class Trained:
    """A model of the store: `number` among its models; `reused` when it had been trained before."""

    bundle: str
    number: int
    reused: bool


def embedding_table(config: Config, archive: Archive) -> tuple[EncoderSpec, EmbeddingTable]:
    """What is embedded of the archive by the configured encoder. Raises InputError where that is nothing."""
    spec = current_spec(config)
    folder = embeddings_folder(config.store, spec)
    return spec, load_embeddings(folder, archive.items, (spec.image_width, spec.report_width))


def train_archive(config: Config, archive: Archive) -> Trained:
    """Train on the archive's training split and register the bundle as the store's latest model.

    A run is named by its settings and its items, so that a killed one resumes and a finished one is found.
    Raises InputError when a group stands on two sides of the split.
    """
    if faults := [fault for fault in archive.faults if not fault.fatal]:
        raise InputError(f"row {faults[0].row} of the manifest: {faults[0].reason}; correct it (mcmfh check lists all)")
    spec, table = embedding_table(config, archive)
    items = [table.item_id.tolist(), table.split.tolist(), table.labels.nonzero()[1].tolist()]
    contents = archive.items["fingerprint"].to_pylist()
    run = files.digest([config.train.work, spec.digest, items, contents])[:16]
    sealed = files.join(files.absolute(config.store), "training", f"{run}.json")
    reused = files.exists(sealed)
    if not reused:
        done = train(table, config.train, spec, config.store, run)
        model = {"bundle": done.bundle_uri, "bundle_digest": done.bundle_digest, "code_digest": done.code_digest}
        files.create(sealed, files.canonical_json(model))
    model = files.read_json(sealed)
    return Trained(model["bundle"], registry.register(config.store, **model), reused)
