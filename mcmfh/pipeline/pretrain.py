"""Pretraining an archive's own encoder, MCR's two towers, on its pairs."""

import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mcmfh.archive.images import Limits
from mcmfh.archive.loading import load_items
from mcmfh.archive.opened import Archive
from mcmfh.config import Config
from mcmfh.console import Advance
from mcmfh.encoders.mcr_towers.bundle import save_towers
from mcmfh.encoders.mcr_towers.vocabulary import Vocabulary, train_vocabulary
from mcmfh.encoders.packaged import report_vocabulary
from mcmfh.errors import InputError
from mcmfh.learning.run_settings import LEAST_PAIRS
from mcmfh.pipeline.encoder import with_device
from mcmfh.pipeline.guidance import pair_guide
from mcmfh.pipeline.split import ARCHIVE, divide
from mcmfh.pretraining.fitting import steps_of_epoch
from mcmfh.pretraining.metrics import recall, reconstruction
from mcmfh.pretraining.picture import attention_picture, reconstruction_picture
from mcmfh.pretraining.settings import PretrainSettings
from mcmfh.pretraining.trainee import Trainee
from mcmfh.pretraining.warm_start import weight_versions
from mcmfh.store import files
from mcmfh.store.code_version import pretraining_code, training_code
from mcmfh.store.layout import (
    encoders_folder,
    finished_pretraining,
    pretraining_folder,
    pretraining_picture,
    pretraining_vocabulary,
)
from mcmfh.store.relative import named, sealed_address
from mcmfh.store.sealed import once, once_bytes
from mcmfh.training.mcr import CONTENT, GUIDE, Problem, train

SHOWN = 6  # validation pairs in the pictures
MOST_REPORTS = 200_000  # that a vocabulary is learnt from


@dataclass(frozen=True)
class Pretrained:
    """Towers in the store: `source` is their URI, for encoder.source; `reused`: they had been trained before."""

    source: str
    metrics: dict[str, Any]
    seconds: float  # of the call that finished the training
    reused: bool


def pretrain_archive(config: Config, archive: Archive, progress: Advance | None = None) -> Pretrained:
    """Pretrain on the pairs of the archive's training split and store the towers below `store`/encoders.

    `pretrain.workers` = 0 runs here, otherwise Ray must be connected. Raises InputError when a group stands
    on two sides of the split, or pairs are too few.
    """
    store = config.store
    problem = pose(config, archive)
    run = problem.fingerprint[:16]
    finished = finished_pretraining(store, run)
    reused = files.exists(finished)

    def trained() -> dict[str, Any]:
        started = time.monotonic()
        settings = with_device(problem.settings, config.cluster)
        trainee = train(replace(problem, settings=settings), pretraining_folder(store), run, progress)
        seconds = time.monotonic() - started
        source, metrics = complete(trainee, problem, encoders_folder(store))
        for name, png in _pictures(trainee, problem, config.archive.keep_reports).items():
            files.create(pretraining_picture(store, run, name), png)
        return {"source": named(store, source), "metrics": metrics, "seconds": seconds}

    result = once(finished, trained)
    source = sealed_address(store, result["source"], encoders_folder(store))
    return Pretrained(source, result["metrics"], result["seconds"], reused)


def pose(config: Config, archive: Archive) -> Problem:
    """The pretraining that the configuration asks for: pairs by split, vocabulary, fingerprint.

    The fingerprint covers all that the towers and their measures depend on.
    """
    settings, divided = config.pretrain, divide(config, archive)
    train, validation = (_pairs(divided.rows(role)) for role in ("train", "validation"))
    if train.num_rows < LEAST_PAIRS:
        raise InputError(f"{train.num_rows} train items have image and report; pretraining needs {LEAST_PAIRS} or more")
    what = [settings.work | weight_versions(settings), asdict(divided.limits), pretraining_code()]
    content = CONTENT
    if settings.targets == "graded":
        guide = pair_guide(config, archive)
        train = guide.beside(train, GUIDE)
        what += [guide.contents, training_code()]
        content = [*CONTENT, GUIDE]
    if settings.vocabulary:
        what.append(files.digest(_read_vocabulary(settings.vocabulary)))
    columns = (ARCHIVE, "item_id", "fingerprint", "group", "study_id")
    sides = [side[name].to_pylist() for side in (train, validation) for name in columns]
    fingerprint = files.digest([what, divided.split.digest, *sides])
    text = once_bytes(
        pretraining_vocabulary(config.store, fingerprint[:16]),
        lambda: _make_vocabulary(settings, train, divided.limits).text.encode(),
    )
    vocabulary = Vocabulary(text.decode(), settings.context)
    return Problem(
        settings.long_enough(steps_of_epoch(train.num_rows, settings)),
        divided.limits,
        vocabulary,
        train.select(content),
        validation.select(CONTENT),
        fingerprint,
        divided.split.line(),
        divided.whom("train", "validation").to_json(),
    )


def _pairs(items: pa.Table) -> pa.Table:
    """The rows that have a picture and a report."""
    has_report = pc.or_(pc.is_valid(items["report"]), pc.is_valid(items["report_uri"]))
    return items.filter(pc.and_(pc.is_valid(items["image_uri"]), has_report))


def _make_vocabulary(settings: PretrainSettings, train: pa.Table, limits: Limits) -> Vocabulary:
    if settings.report_tower:
        return Vocabulary(report_vocabulary(), settings.context)
    if settings.vocabulary is not None:
        return Vocabulary(_read_vocabulary(settings.vocabulary).decode(), settings.context)
    rows = train.slice(0, MOST_REPORTS).select(["report", "report_uri"]).to_pylist()
    reports = (loaded.report for loaded in load_items(rows, limits))
    return train_vocabulary(
        (report for report in reports if report is not None), settings.vocabulary_size, settings.context
    )


def _read_vocabulary(uri: str) -> bytes:
    try:
        return files.read(files.absolute(uri))
    except FileNotFoundError as error:
        raise InputError(f"pretrain.vocabulary '{uri}' does not exist; give a vocab.txt") from error


def complete(trainee: Trainee, problem: Problem, root: str) -> tuple[str, dict[str, Any]]:
    """Measure the trained towers on validation and store them below `root`; (URI, metrics)."""
    trainee, settings = trainee.cpu().eval(), problem.settings
    held_out = problem.watched()
    metrics: dict[str, Any] = {"pairs": len(held_out)}
    if len(held_out):
        metrics |= {"recall": recall(trainee.model, held_out), "reconstruction": reconstruction(trainee, held_out)}
    training = {
        "settings": settings.work,
        "pairs": problem.train.num_rows,
        "fingerprint": problem.fingerprint,
        "split": problem.split,
        "seen": problem.seen,
    }
    return save_towers(root, trainee.model, problem.vocabulary, metrics, training), metrics


def _pictures(trainee: Trainee, problem: Problem, with_text: bool) -> dict[str, bytes]:
    shown = problem.decode(problem.validation.slice(0, SHOWN).to_pylist())
    drawn: dict[str, bytes | None] = {}
    if len(shown):
        drawn["attention"] = attention_picture(trainee.model, shown, problem.vocabulary, with_text)
        drawn["reconstruction"] = reconstruction_picture(trainee, shown)
    return {name: png for name, png in drawn.items() if png}
