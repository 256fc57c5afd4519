"""Training and evaluation of a model on an archive's stored embeddings, as the jobs and the demo call them."""

from dataclasses import dataclass

from mcmfh import storage
from mcmfh.bulk.archive_run import current_spec
from mcmfh.bulk.embed import embeddings_folder
from mcmfh.config import Config
from mcmfh.encoders import EncoderSpec
from mcmfh.encoders.table import EmbeddingTable
from mcmfh.errors import InputError
from mcmfh.evaluation import Evaluation, evaluate, read_evaluations, write_report
from mcmfh.hashing import load_bundle, registry
from mcmfh.hashing.codes import pack_codes
from mcmfh.snapshots.archive import Archive
from mcmfh.snapshots.embeddings import load_embeddings
from mcmfh.training.mcmfh import train


@dataclass(frozen=True)
class Trained:
    """A model of the store: `number` among its models; `reused` when it had been trained before."""

    bundle: str
    number: int
    reused: bool


@dataclass(frozen=True)
class Evaluated:
    """One evaluation a code length, and the URI of the page that shows them."""

    evaluations: list[Evaluation]
    report: str


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
    run = storage.digest([config.train.model_dump(mode="json"), spec.digest, items, contents])[:16]
    sealed = storage.join(storage.absolute(config.store), "training", f"{run}.json")
    reused = storage.exists(sealed)
    if not reused:
        done = train(table, config.train, spec, config.store, run)
        model = {"bundle": done.bundle_uri, "bundle_digest": done.bundle_digest, "code_digest": done.code_digest}
        storage.create(sealed, storage.canonical_json(model))
    model = storage.read_json(sealed)
    return Trained(model["bundle"], registry.register(config.store, **model), reused)


def evaluate_archive(config: Config, archive: Archive, bundle_uri: str) -> Evaluated:
    """Scores of a bundle on the archive's test split: from the store where they were computed before."""
    spec, table = embedding_table(config, archive)
    bundle = load_bundle(bundle_uri)
    if spec.digest != bundle.config["encoder_digest"]:
        raise InputError(f"the model at '{bundle_uri}' was trained on embeddings of another encoder; set encoder to its own")
    name = storage.digest([bundle.bundle_digest, archive.items.drop_columns(["row"]).to_pylist()])[:16]
    folder = storage.join(storage.absolute(config.store), "evaluations", name)
    page = storage.join(folder, "report.html")
    if storage.exists(page):
        return Evaluated(read_evaluations(folder), page)
    logits = bundle.all_logits(table.image, table.report)
    settings = bundle.config["training"]["settings"]
    evaluations = [
        evaluate(
            {modality: pack_codes(by_bits[bits]) for modality, by_bits in logits.items()},
            table,
            bits,
            method=settings["method"],
            seed=bundle.shape.seed,
            supervised=settings["supervised"],
        )
        for bits in bundle.bits
    ]
    return Evaluated(evaluations, write_report(evaluations, folder, note=f"encoder: {spec.name}"))
