"""Pretrain MCR towers on an archive's own pairs, in this process or on Ray Train workers, with the same loop.

Pictures do not fit in memory. Ray Data therefore decodes them in every epoch, on the cores that training leaves free,
and each worker takes its share of the stream. What towers with frozen stages are trained on is the same in every epoch:
it is computed once and kept in Ray's object store, which spills to disk. A run is named by its settings and items: a
killed run resumes from its last checkpoint, a finished one is reused.

    pretrained = pretrain_archive(load_config(), read_archive(...))      → encoder.source
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from mcmfh.archive.images import Limits
from mcmfh.console import Advance
from mcmfh.encoders.mcr_towers.vocabulary import Vocabulary
from mcmfh.encoders.preprocessing import ImagePreprocessing
from mcmfh.learning.checkpoint import unpack_state
from mcmfh.learning.device import chosen_device
from mcmfh.learning.gather import rank, world_size
from mcmfh.pretraining.feed import from_memory, from_stream
from mcmfh.pretraining.fitting import bare, fit, make_optimizer, steps_of_epoch
from mcmfh.pretraining.frozen_features import frozen_features
from mcmfh.pretraining.metrics import WATCHED, watch
from mcmfh.pretraining.pairs import Pairs, decode_pairs
from mcmfh.pretraining.settings import PretrainSettings
from mcmfh.pretraining.trainee import Trainee
from mcmfh.pretraining.warm_start import start_towers
from mcmfh.processes import keep_freed_memory
from mcmfh.store import files
from mcmfh.store.layout import pretraining_checkpoints
from mcmfh.training.runs import Run, reported, resume_here, resume_in_worker, train_on_ray, worker_device

CONTENT = ["image_uri", "report", "report_uri"]
GUIDE = "guide"  # column float32[G] of train pairs, where graded targets come from it
BLOCK = 64  # pairs decoded as one block of a stream


@dataclass(frozen=True)
class Problem:
    """One pretraining, as every worker receives it."""

    settings: PretrainSettings
    limits: Limits
    vocabulary: Vocabulary
    train: pa.Table  # columns CONTENT and, for graded targets, GUIDE; one row a pair
    validation: pa.Table
    fingerprint: str  # digest of everything that the trained weights depend on
    split: str = ""  # the split in one line
    seen: dict[str, Any] | None = None  # whom the training sees, as `Seen.to_json` gives it

    @property
    def preprocessing(self) -> ImagePreprocessing:
        return ImagePreprocessing(self.settings.image_size, self.settings.fit)

    def decode(self, rows: list[dict[str, Any]]) -> Pairs:
        """The pairs among `rows` that can be read."""
        return decode_pairs(rows, self.limits, self.preprocessing, self.vocabulary)

    def watched(self) -> Pairs:
        """The validation pairs that are measured during training."""
        return self.decode(self.validation.slice(0, WATCHED).to_pylist())

    def first_trainee(self) -> Trainee:
        """The trainee before its first step, with warm-started towers where the settings name weights."""
        keep_freed_memory()
        trainee = Trainee(self.settings, self.vocabulary)
        start_towers(trainee.model, self.settings)
        return trainee


def train(problem: Problem, root: str, run: str, progress: Advance | None = None) -> Trainee:
    """The trained towers: on Ray, or with `workers` = 0 in this process. progress: of the steps."""
    settings, here = problem.settings, problem.settings.workers == 0
    checkpoints = pretraining_checkpoints(root, run) if here else files.join(root, run)
    with reported(checkpoints, settings.epochs, steps_of_epoch(problem.train.num_rows, settings), progress):
        return (train_here if here else train_on_workers)(problem, root, run)


def train_here(problem: Problem, root: str, run: str) -> Trainee:
    settings = problem.settings
    trainee = problem.first_trainee().to(chosen_device(settings.device, "pretrain.device"))
    optimizer = make_optimizer(trainee, settings)
    pairs, held_out = problem.decode(problem.train.to_pylist()), problem.watched()
    pairs, held_out = (frozen_features(trainee.model, each) for each in (pairs, held_out))
    state = Run(trainee, optimizer, problem.fingerprint, settings.log_dir, lambda: watch(trainee, held_out))
    # Not the folder `run`, which belongs to Ray Train.
    resumed = resume_here(state, pretraining_checkpoints(root, run))
    fit(trainee, optimizer, from_memory(pairs, settings), settings, len(pairs), *resumed)
    return trainee


def train_on_workers(problem: Problem, root: str, run: str) -> Trainee:
    import ray

    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    cores = max(1, int(resources.get("CPU", 0)))
    blocks = [problem.train.slice(start, BLOCK).combine_chunks() for start in range(0, problem.train.num_rows, BLOCK)]
    stream = ray.data.from_arrow(blocks).map_batches(
        _decode_block,  # type: ignore[arg-type]
        fn_kwargs={"limits": problem.limits, "preprocessing": problem.preprocessing, "vocabulary": problem.vocabulary},
        batch_size=None,
        compute=ray.data.TaskPoolStrategy(2 * cores),
        num_cpus=0.01,
    )
    if problem.settings.frozen_stages:
        nothing = replace(problem, train=problem.train.slice(0, 0).combine_chunks())
        stream = stream.map_batches(
            _FrozenStages,
            fn_constructor_args=(nothing,),
            batch_size=None,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=cores),
            num_cpus=0.98,  # with decoding beside it
        ).materialize()
    # Two workers share a core and leave room to decode, so that a machine of one core trains too.
    state = train_on_ray(_train_worker, problem, stream, problem.settings, root, run, cpus=0.49)
    trainee = problem.first_trainee()
    unpack_state(state, problem.fingerprint, trainee)
    return trainee


def _decode_block(
    batch: dict[str, np.ndarray], limits: Limits, preprocessing: ImagePreprocessing, vocabulary: Vocabulary
) -> dict[str, np.ndarray]:
    rows = [{name: batch[name][i] for name in batch} for i in range(len(batch[CONTENT[0]]))]
    return decode_pairs(rows, limits, preprocessing, vocabulary).arrays()


class _FrozenStages:
    """An actor that computes what the towers' frozen stages say of decoded pairs, on a core."""

    def __init__(self, problem: Problem):
        self.model = problem.first_trainee().model

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return frozen_features(self.model, Pairs(**batch)).arrays()


def _train_worker(config: dict[str, Any]) -> None:
    import ray
    from ray.train import get_dataset_shard
    from ray.train.torch import prepare_model

    problem: Problem = ray.get(config["problem"])
    settings = problem.settings
    module = prepare_model(
        problem.first_trainee(), worker_device(config), parallel_strategy_kwargs={"forward_sync_buffers": False}
    )
    trainee = bare(module)
    optimizer = make_optimizer(trainee, settings)
    held_out = Pairs(np.empty(0), np.empty(0))
    if rank() == 0:
        held_out = frozen_features(trainee.model, problem.watched())
    run = Run(trainee, optimizer, problem.fingerprint, settings.log_dir, lambda: watch(trainee, held_out))
    feed = from_stream(get_dataset_shard("train"), settings, world_size())
    fit(module, optimizer, feed, settings, problem.train.num_rows, *resume_in_worker(run))
