"""Pretrain MCR towers on an archive's own pairs: in this process, or on Ray Train workers; same loop, same result.

Pictures do not fit in memory, so Ray Data decodes them anew every epoch, on the processors that training leaves over,
and each worker takes its share of the stream. A run is named by its settings and its items: a killed one goes on from
its last checkpoint, a finished one is found.

    pretrained = pretrain_archive(load_config(), read_archive(...))      → encoder.source
"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mcmfh import storage
from mcmfh.archive.images import Limits
from mcmfh.archive.loading import load_items
from mcmfh.archive.splits import with_splits
from mcmfh.config import Config
from mcmfh.encoders.packaged import report_vocabulary
from mcmfh.encoders.preprocessing import ImagePreprocessing
from mcmfh.errors import InputError
from mcmfh.hashing.checkpoint import unpack_state
from mcmfh.hashing.gather import rank, world_size
from mcmfh.hashing.preparation import LEAST_PAIRS
from mcmfh.pretraining.bundle import save_towers
from mcmfh.pretraining.feed import from_memory, from_stream
from mcmfh.pretraining.fitting import bare, fit, make_optimizer
from mcmfh.pretraining.measuring import WATCHED, recall, reconstruction, watch
from mcmfh.pretraining.packaged_tower import PackagedImageTower, frozen_features
from mcmfh.pretraining.pairs import Pairs, decode_pairs
from mcmfh.pretraining.picture import attention_picture, reconstruction_picture
from mcmfh.pretraining.settings import PretrainSettings
from mcmfh.pretraining.start import start_towers, weight_versions
from mcmfh.pretraining.trainee import Trainee
from mcmfh.pretraining.vocabulary import Vocabulary, train_vocabulary
from mcmfh.processes import keep_freed_memory
from mcmfh.snapshots.archive import Archive
from mcmfh.training.local import chosen_device
from mcmfh.training.runs import Run, resume_here, resume_in_worker, train_on_ray

CONTENT = ["image_uri", "report", "report_uri"]
BLOCK = 64  # pairs decoded as one block of a stream
SHOWN = 6  # validation pairs in the pictures
MOST_REPORTS = 200_000  # that a vocabulary is learnt from


@dataclass(frozen=True)
class Pretrained:
    """Towers in the store: `source` is their URI, for encoder.source; `reused` when they had been trained before."""

    source: str
    metrics: dict[str, Any]
    seconds: float  # of the call that finished the training
    reused: bool


@dataclass(frozen=True)
class Problem:
    """One pretraining: what every worker is given."""

    settings: PretrainSettings
    limits: Limits
    vocabulary: Vocabulary
    train: pa.Table  # columns CONTENT, one row a pair
    validation: pa.Table
    fingerprint: str  # of everything that the trained weights depend on

    @property
    def preprocessing(self) -> ImagePreprocessing:
        return ImagePreprocessing(self.settings.image_size, self.settings.fit)

    def decode(self, rows: list[dict[str, Any]]) -> Pairs:
        """The pairs that can be read."""
        return decode_pairs(rows, self.limits, self.preprocessing, self.vocabulary)

    def watched(self) -> Pairs:
        """The validation pairs that training is watched by."""
        return self.decode(self.validation.slice(0, WATCHED).to_pylist())

    def first_trainee(self) -> Trainee:
        """What training begins with."""
        keep_freed_memory()
        trainee = Trainee(self.settings, self.vocabulary)
        start_towers(trainee.model, self.settings)
        return trainee


def pretrain_archive(config: Config, archive: Archive) -> Pretrained:
    """Pretrain on the pairs of the archive's training split and store the towers below `store`/encoders.

    `pretrain.workers` = 0 runs here, otherwise Ray must be connected. Raises InputError when a group stands
    on two sides of the split, or pairs are too few.
    """
    root = storage.join(storage.absolute(config.store), "pretraining")
    problem = pose(config, archive)
    run = problem.fingerprint[:16]
    sealed = storage.join(root, f"{run}.json")
    reused = storage.exists(sealed)
    if not reused:
        train = _train_here if problem.settings.workers == 0 else _train_on_ray
        started = time.monotonic()
        trainee = train(problem, root, run)
        seconds = time.monotonic() - started
        source, metrics = complete(trainee, problem, storage.join(storage.absolute(config.store), "encoders"))
        for name, png in _pictures(trainee, problem, config.archive.keep_reports).items():
            storage.create(storage.join(root, f"{run}.{name}.png"), png)
        storage.create(sealed, storage.canonical_json({"source": source, "metrics": metrics, "seconds": seconds}))
    found = storage.read_json(sealed)
    return Pretrained(found["source"], found["metrics"], found["seconds"], reused)


def pose(config: Config, archive: Archive) -> Problem:
    """The pretraining that the configuration asks for: pairs by split, vocabulary, fingerprint."""
    if faults := [fault for fault in archive.faults if not fault.fatal]:
        raise InputError(f"row {faults[0].row} of the manifest: {faults[0].reason}; correct it (mcmfh check lists all)")
    settings = config.pretrain
    items = with_splits(archive.items)
    has_report = pc.or_(pc.is_valid(items["report"]), pc.is_valid(items["report_uri"]))
    items = items.filter(pc.and_(pc.is_valid(items["image_uri"]), has_report))
    split = np.array(items["split"].to_pylist())
    train, validation = (items.filter(pa.array(split == name)) for name in ("train", "validation"))
    if train.num_rows < LEAST_PAIRS:
        raise InputError(f"{train.num_rows} train items have image and report; pretraining needs {LEAST_PAIRS} or more")
    what = settings.work | weight_versions(settings)
    fingerprint = storage.digest([what, *(train[name].to_pylist() for name in ("item_id", "fingerprint"))])
    uri = storage.join(storage.absolute(config.store), "pretraining", f"{fingerprint[:16]}.vocab.txt")
    if not storage.exists(uri):
        storage.create(uri, _make_vocabulary(settings, train, config.archive.limits).text.encode())
    vocabulary = Vocabulary(storage.read(uri).decode(), settings.context)
    return Problem(
        settings, config.archive.limits, vocabulary, train.select(CONTENT), validation.select(CONTENT), fingerprint
    )


def _make_vocabulary(settings: PretrainSettings, train: pa.Table, limits: Limits) -> Vocabulary:
    if settings.report_tower == "packaged":
        return Vocabulary(report_vocabulary(), settings.context)
    if settings.vocabulary is not None:
        try:
            return Vocabulary(storage.read(storage.absolute(settings.vocabulary)).decode(), settings.context)
        except FileNotFoundError as error:
            raise InputError(f"pretrain.vocabulary '{settings.vocabulary}' does not exist; give a vocab.txt") from error
    rows = train.slice(0, MOST_REPORTS).select(["report", "report_uri"]).to_pylist()
    reports = (loaded.report for loaded in load_items(rows, limits))
    return train_vocabulary(
        (report for report in reports if report is not None), settings.vocabulary_size, settings.context
    )


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
    }
    return save_towers(root, trainee.model, problem.vocabulary, metrics, training), metrics


def _pictures(trainee: Trainee, problem: Problem, with_text: bool) -> dict[str, bytes]:
    shown = problem.decode(problem.validation.slice(0, SHOWN).to_pylist())
    drawn: dict[str, bytes | None] = {}
    if len(shown):
        drawn["attention"] = attention_picture(trainee.model, shown, problem.vocabulary, with_text)
        drawn["reconstruction"] = reconstruction_picture(trainee, shown)
    return {name: png for name, png in drawn.items() if png}


def _train_here(problem: Problem, root: str, run: str) -> Trainee:
    settings = problem.settings
    trainee = problem.first_trainee().to(chosen_device(settings.device, "pretrain.device"))
    optimizer = make_optimizer(trainee, settings)
    pairs, held_out = problem.decode(problem.train.to_pylist()), problem.watched()
    if isinstance(trainee.model.image_tower, PackagedImageTower):
        pairs, held_out = (frozen_features(trainee.model.image_tower, each) for each in (pairs, held_out))
    state = Run(trainee, optimizer, problem.fingerprint, settings.log_dir, lambda: watch(trainee, held_out))
    # Ray Train has the folder `run` to itself.
    resumed = resume_here(state, storage.join(root, f"{run}.epochs"))
    fit(trainee, optimizer, from_memory(pairs, settings), settings, len(pairs), *resumed)
    return trainee


def _train_on_ray(problem: Problem, root: str, run: str) -> Trainee:
    import ray

    blocks = [problem.train.slice(start, BLOCK).combine_chunks() for start in range(0, problem.train.num_rows, BLOCK)]
    stream = ray.data.from_arrow(blocks).map_batches(
        _decode_block,  # type: ignore[arg-type]
        fn_kwargs={"limits": problem.limits, "preprocessing": problem.preprocessing, "vocabulary": problem.vocabulary},
        batch_size=None,
        num_cpus=0.5,
    )
    # Less than a core a worker, so that on a small machine some are left to decode.
    state = train_on_ray(_train_worker, problem, stream, problem.settings, root, run, cpus=0.5)
    trainee = problem.first_trainee()
    unpack_state(state, problem.fingerprint, trainee)
    return trainee


def _decode_block(
    batch: dict[str, np.ndarray], limits: Limits, preprocessing: ImagePreprocessing, vocabulary: Vocabulary
) -> dict[str, np.ndarray]:
    rows = [{name: batch[name][i] for name in CONTENT} for i in range(len(batch[CONTENT[0]]))]
    pairs = decode_pairs(rows, limits, preprocessing, vocabulary)
    return {"pixels": pairs.pixels, "tokens": pairs.tokens}


def _train_worker(config: dict[str, Any]) -> None:
    import ray
    from ray.train import get_dataset_shard
    from ray.train.torch import prepare_model

    problem: Problem = ray.get(config["what"])
    settings = problem.settings
    module = prepare_model(problem.first_trainee(), parallel_strategy_kwargs={"forward_sync_buffers": False})
    trainee = bare(module)
    optimizer = make_optimizer(trainee, settings)
    held_out = problem.watched() if rank() == 0 else Pairs(np.empty(0), np.empty(0))
    run = Run(trainee, optimizer, problem.fingerprint, settings.log_dir, lambda: watch(trainee, held_out))
    feed = from_stream(get_dataset_shard("train"), settings, world_size())
    fit(module, optimizer, feed, settings, problem.train.num_rows, *resume_in_worker(run))
