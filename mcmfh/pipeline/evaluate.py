"""Scores of a model, or of an encoder, on an archive's test split."""

from dataclasses import dataclass

from mcmfh.archive.opened import Archive
from mcmfh.config import Config
from mcmfh.embeddings.seen import refuse_seen
from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.encoders import EncoderSpec
from mcmfh.encoders.mcr import described
from mcmfh.errors import InputError
from mcmfh.evaluation import Evaluation, evaluate, read_evaluations, write_report
from mcmfh.evaluation.evaluate import COLUMNS
from mcmfh.evaluation.leaks import leak_sentence
from mcmfh.evaluation.provenance import Provenance
from mcmfh.evaluation.report import read_provenance
from mcmfh.hashing import load_bundle, registry
from mcmfh.hashing.baselines.cca import canonical_space
from mcmfh.pipeline.comparison import evaluate_bundle
from mcmfh.pipeline.encoder import with_towers_of
from mcmfh.pipeline.provenance import page_provenance
from mcmfh.pipeline.split import refuse_towers_that_saw
from mcmfh.pipeline.train import embedding_table
from mcmfh.store import files
from mcmfh.store.code_version import evaluation_code
from mcmfh.store.layout import evaluation_folder, evaluation_page

_CANONICAL = 256  # dimensions of the common space of an encoder that has none


@dataclass(frozen=True)
class Evaluated:
    """One evaluation a code length, the URI of the page that shows them, and what they were made from."""

    evaluations: list[Evaluation]
    report: str
    provenance: Provenance | None = None


def evaluate_archive(
    config: Config, archive: Archive, bundle_uri: str, spec: EncoderSpec | None = None, results: str | None = None
) -> Evaluated:
    """Scores of a bundle on the archive's test split.

    The page is named by all that the scores depend on. Scores of a page that `results` (default: the store) holds
    already are read from it.
    """
    if config.train.towers == "tuned":
        config = with_towers_of(config, load_bundle(bundle_uri))
    spec, table = embedding_table(config, archive, spec)
    bundle = load_bundle(bundle_uri)
    if spec.digest != bundle.config["encoder_digest"]:
        raise InputError(
            f"the model at '{bundle_uri}' was trained on another encoder's embeddings; set encoder to that"
        )
    refuse_towers_that_saw(spec, table)
    refuse_seen(bundle.seen, table, f"the model at '{bundle_uri}'", "train on this split, or evaluate what it left out")
    note, families = f"encoder: {described(spec)}; {covered(table)}", config.evaluate.families
    if bundle.seen is None and (config.evaluate.train_until or config.evaluate.train_manifest):
        raise InputError(
            f"whom the model at '{bundle_uri}' saw was not recorded, so that it cannot be scored on a split by date or "
            "dataset; train again with the same evaluate options"
        )
    if bundle.seen is None:
        note += "; whom the model saw was not recorded when it was trained"
    what = [bundle.bundle_digest, table.digest("image", "report", *COLUMNS), note, families, evaluation_code()]
    name = files.digest(what)[:16]
    folder = evaluation_folder(results or config.store, name)
    page = evaluation_page(folder)
    if files.exists(page):
        return Evaluated(read_evaluations(folder), page, read_provenance(folder))
    settings, uri = bundle.config["training"]["settings"], files.absolute(bundle_uri)
    evaluations = evaluate_bundle(bundle, table, settings["method"], families)
    made = page_provenance(config, table, spec, settings, [bundle.shape.seed], evaluation_code(), uri)
    return Evaluated(evaluations, write_report(evaluations, folder, note=note, provenance=made), made)


def evaluate_encoder(config: Config, archive: Archive, results: str | None = None) -> Evaluated:
    """Scores of the encoder's own embeddings, ranked by cosine, on the archive's test split. `results`: as above.

    An encoder without a common space of images and reports is given one by ridge CCA of the training pairs.
    """
    spec, table = embedding_table(config, archive)
    refuse_towers_that_saw(spec, table)
    image, report, method = table.image, table.report, f"encoder {spec.name}"
    if spec.image_width != spec.report_width:
        image, report = canonical_space(table.of_split("train"), _CANONICAL)(table)
        method += ", ridge CCA"
    settings = {"dimensions": _CANONICAL}
    vectors, families = {"image": image, "report": report}, config.evaluate.families
    made_with = files.digest(settings)
    evaluations = [evaluate(vectors, table, None, method=method, families=families, settings=made_with)]
    note = f"encoder: {described(spec)} {spec.digest[:12]}; {covered(table)}"
    name = files.digest([note, *(each.to_json() for each in evaluations)])[:16]
    made = page_provenance(config, table, spec, settings, [], evaluation_code())
    folder = evaluation_folder(results or config.store, name)
    return Evaluated(evaluations, write_report(evaluations, folder, note=note, provenance=made), made)


def covered(table: EmbeddingTable) -> str:
    """How much of the archive `table` covers and on which split, as every page says it."""
    embedded = table.coverage.sentence() if table.coverage else f"{len(table):,} embedded items"
    return "; ".join(each for each in (embedded, table.split_line, leak_sentence(table)) if each)


def evaluate_latest(config: Config, archive: Archive) -> Evaluated:
    """`evaluate_archive` of the model that hash.bundle names."""
    return evaluate_archive(config, archive, registry.resolve(config.store, config.hash.bundle))
