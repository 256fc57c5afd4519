"""Training a model on an archive's stored embeddings."""

from dataclasses import dataclass

from mcmfh.archive.opened import Archive
from mcmfh.config import Config
from mcmfh.console import Advance
from mcmfh.embeddings.stored import load_embeddings
from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.encoders import EncoderSpec
from mcmfh.hashing import registry
from mcmfh.hashing.preparation import training_digest
from mcmfh.pipeline.concepts import with_concepts
from mcmfh.pipeline.encoder import current_spec, with_device
from mcmfh.pipeline.split import divide
from mcmfh.store import files
from mcmfh.store.code_version import training_code
from mcmfh.store.layout import embeddings_folder, finished_training
from mcmfh.store.relative import named
from mcmfh.store.sealed import once
from mcmfh.training.mcmfh import train


@dataclass(frozen=True)
class Trained:
    """A model of the store and its number among the store's models; `reused`: it had been trained before.

    `embedded`: (embedded, listed) train and validation items of the archive.
    """

    bundle: str
    number: int
    reused: bool
    embedded: tuple[int, int]


def embedding_table(
    config: Config, archive: Archive, spec: EncoderSpec | None = None, concepts: bool = False
) -> tuple[EncoderSpec, EmbeddingTable]:
    """The encoder `spec` (default: the configured one) and its embeddings of the archive, on the split asked for.

    Where evaluate.train_manifest names another archive, its items are in the table too. `concepts`: with what the
    closed form reads beside embeddings. Raises InputError where nothing
    is embedded, or where a row of a manifest cannot be trained on or scored.
    """
    divided = divide(config, archive)
    spec = spec or current_spec(config)
    folder, widths = embeddings_folder(config.store, spec.digest), (spec.image_width, spec.report_width)
    table = divided.split.apply([load_embeddings(folder, each.items, widths) for each in divided.archives])
    return spec, with_concepts(config, divided, spec, table) if concepts else table


def train_archive(
    config: Config, archive: Archive, spec: EncoderSpec | None = None, progress: Advance | None = None
) -> Trained:
    """Train on the archive's training split and register the bundle as the store's latest model.

    A run is named by all that it reads (see `training_digest`), its settings and the version of the code: a killed run
    is resumed, a finished one is reused.
    Raises InputError when a group stands on two sides of the split.
    """
    spec, table = embedding_table(config, archive, spec, config.train.reads_concepts)
    assert table.coverage is not None
    embedded = table.coverage.of("train", "validation")
    contents = training_digest(table, config.train)
    what = [config.train.work, spec.digest, contents, embedded, table.split_digest, training_code()]
    run = files.digest(what)[:16]
    finished = finished_training(config.store, run)
    reused = files.exists(finished)

    def trained() -> dict[str, str]:
        done = train(table, with_device(config.train, config.cluster), spec, config.store, run, progress)
        bundle = named(config.store, done.bundle_uri)
        return {"bundle": bundle, "bundle_digest": done.bundle_digest, "code_digest": done.code_digest}

    model = once(finished, trained)
    model["bundle"] = registry.bundle_address(config.store, model["bundle"])
    return Trained(model["bundle"], registry.register(config.store, **model), reused, embedded)
