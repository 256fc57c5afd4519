"""Training and evaluation of a model on an archive's stored embeddings, as the jobs and the demo call them."""

from dataclasses import dataclass

from mcmfh import storage
from mcmfh.bulk.archive_run import Progress, current_spec
from mcmfh.bulk.embed import embeddings_folder
from mcmfh.config import Config
from mcmfh.encoders import EncoderSpec
from mcmfh.encoders.table import EmbeddingTable
from mcmfh.errors import InputError
from mcmfh.evaluation import Evaluation, evaluate, read_evaluations, write_report
from mcmfh.evaluation.splits import cross_dataset_split, temporal_split
from mcmfh.hashing import load_bundle, registry
from mcmfh.hashing.baselines.cca import canonical_space
from mcmfh.snapshots.archive import Archive, read_archive
from mcmfh.snapshots.embeddings import load_embeddings
from mcmfh.training.comparison import ROWS, chosen_rows, compare, evaluate_bundle
from mcmfh.training.mcmfh import train

_CANONICAL = 256  # dimensions of the common space of an encoder that has none


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
    run = storage.digest([config.train.work, spec.digest, items, contents])[:16]
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
        raise InputError(
            f"the model at '{bundle_uri}' was trained on another encoder's embeddings; set encoder to that"
        )
    name = storage.digest([bundle.bundle_digest, archive.items.drop_columns(["row"]).to_pylist()])[:16]
    folder = storage.join(storage.absolute(config.store), "evaluations", name)
    page = storage.join(folder, "report.html")
    if storage.exists(page):
        return Evaluated(read_evaluations(folder), page)
    evaluations = evaluate_bundle(bundle, table, bundle.config["training"]["settings"]["method"])
    return Evaluated(evaluations, write_report(evaluations, folder, note=f"encoder: {spec.name}"))


def evaluate_encoder(config: Config, archive: Archive) -> Evaluated:
    """Scores of the encoder's own embeddings, ranked by cosine, on the archive's test split.

    Where its images and reports have no common space, ridge CCA of the training pairs gives them one.
    """
    spec, table = embedding_table(config, archive)
    image, report, method = table.image, table.report, f"encoder {spec.name}"
    if spec.image_width != spec.report_width:
        image, report = canonical_space(table.of_split("train"), _CANONICAL)(table)
        method += ", ridge CCA"
    found = [evaluate({"image": image, "report": report}, table, None, method=method)]
    name = storage.digest([each.to_json() for each in found])[:16]
    folder = storage.join(storage.absolute(config.store), "evaluations", name)
    return Evaluated(found, write_report(found, folder, note=f"encoder: {spec.name} {spec.digest[:12]}"))


def evaluate_latest(config: Config, archive: Archive) -> Evaluated:
    """`evaluate_archive` of the model that hash.bundle names."""
    if config.evaluate.train_until or config.evaluate.train_manifest:
        raise InputError("a split by date or dataset needs models trained on it; set evaluate.compare=methods or bits")
    return evaluate_archive(config, archive, registry.resolve(config.store, config.hash.bundle))


def compare_on_archive(config: Config, archive: Archive, progress: Progress | None = None) -> Evaluated:
    """Train and evaluate the rows of evaluate.compare, several seeds each, on the configured split."""
    asked = config.evaluate
    spec, table = embedding_table(config, archive)
    split = "the manifest's split"
    if asked.train_manifest:
        other = config.archive.model_copy(update={"manifest": asked.train_manifest})
        _, source = embedding_table(config, read_archive(other))
        table, split = cross_dataset_split(source, table), "train on another dataset"
    if asked.train_until:
        table, split = temporal_split(table, asked.train_until.isoformat()), f"train before {asked.train_until}"
    rows = chosen_rows(ROWS[asked.compare](config.train), asked.rows)
    root = storage.join(storage.absolute(config.store), "evaluations")
    evaluations: list[Evaluation] = []
    finished = storage.join(root, "rows")
    for done, found in enumerate(compare(rows, asked.seeds, table, spec, config.train.all_bits, finished), 1):
        evaluations += found
        if progress:
            progress(done, len(rows) * asked.seeds)
    names = [row.name for row in rows]
    evaluations.sort(key=lambda each: (names.index(each.method), each.bits or 0, each.seed))
    name = storage.digest([each.to_json() for each in evaluations])[:16]
    note = f"{asked.compare}, {split}; encoder: {spec.name}"
    return Evaluated(evaluations, write_report(evaluations, storage.join(root, name), note=note))
