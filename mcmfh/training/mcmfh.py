"""Train MCMFH on a table of embeddings, in this process or on Ray Train workers, with the same loop.

Embeddings are much smaller than their images, so each worker reads its Ray Data shard once and keeps it in memory.
Epochs then need no I/O, and a checkpoint needs no position in a stream. The contrast spans the global batch, whose size
is constant: each of W workers takes batch_size / W rows. A run is resumed by its name.

    result = train(table, TrainSettings(bits=(16, 64), workers=2), encoder, "s3://bucket/store", "first-run")
"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mcmfh.console import Advance
from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.encoders import EncoderSpec
from mcmfh.hashing.bundle import load_bundle
from mcmfh.hashing.coder import Model
from mcmfh.hashing.completion import complete
from mcmfh.hashing.ensemble import trained
from mcmfh.hashing.fitting import Pairs, fit, make_optimizer, steps_of_epoch
from mcmfh.hashing.model import Mcmfh
from mcmfh.hashing.monitor import watch
from mcmfh.hashing.preparation import Prepared, prepare
from mcmfh.hashing.settings import TrainSettings
from mcmfh.hashing.solving import solve
from mcmfh.hashing.trainee import Trainee
from mcmfh.learning.checkpoint import unpack_state
from mcmfh.learning.device import chosen_device
from mcmfh.store import files
from mcmfh.store.layout import bundles_folder, training_folder
from mcmfh.training.runs import Run, reported, resume_here, resume_in_worker, train_on_ray, worker_device


@dataclass(frozen=True)
class TrainResult:
    """A finished training."""

    bundle_uri: str
    bundle_digest: str
    code_digest: str
    metrics: dict[str, Any]
    loop_seconds: float  # of the training loop in this call; nearly 0 when the run had finished before


def train(
    table: EmbeddingTable,
    settings: TrainSettings,
    encoder: EncoderSpec,
    store: str,
    run_name: str,
    progress: Advance | None = None,
) -> TrainResult:
    """Train on the `train` items that have both modalities and write a bundle to `store`/bundles/<bundle digest>/.

    Checkpoints are in `store`/training/`run_name`; a call with the same name resumes from them. `settings.workers` = 0
    trains in this process; otherwise Ray must be initialised. progress: of the steps.
    Raises InputError on unusable data, or when `run_name` belongs to other settings or data.
    """
    prepared = prepare(table, settings)
    started = time.monotonic()
    if prepared.settings.method != "mcmfh":
        model: Model = solve(prepared)
    else:
        teachers = prepared.settings.ensemble

        def network(problem: Prepared, i: int) -> Mcmfh:
            name = run_name if i == teachers else f"{run_name}-{i}"
            return _network(problem, store, name, _share(progress, i, teachers + 1))

        prepared, model = trained(prepared, network)
    loop_seconds = time.monotonic() - started
    uri = complete(model, prepared, encoder, bundles_folder(store))
    bundle = load_bundle(uri)
    return TrainResult(uri, bundle.bundle_digest, bundle.code_digest, bundle.metrics, loop_seconds)


def _share(progress: Advance | None, i: int, trainings: int) -> Advance | None:
    """`progress` of the i-th of equally long trainings."""
    if progress is None:
        return None
    return lambda done, total, failed=0: progress(i * total + done, trainings * total)


def _network(prepared: Prepared, store: str, run_name: str, progress: Advance | None) -> Mcmfh:
    settings, run = prepared.settings, files.join(training_folder(store), run_name)
    with reported(run, settings.epochs, steps_of_epoch(len(prepared.rows), settings.batch_size), progress):
        if settings.workers == 0:
            return _train_here(prepared, run)
        return _train_on_ray(prepared, training_folder(store), run_name)


def _train_here(prepared: Prepared, run_uri: str) -> Mcmfh:
    device, settings = chosen_device(prepared.settings.device, "train.device"), prepared.settings
    trainee = Trainee(prepared.first_model(), settings).to(device)
    optimizer = make_optimizer(trainee, settings)
    pairs = Pairs.from_rows(torch.from_numpy(prepared.rows), prepared.widths, device)
    run = Run(
        trainee,
        optimizer,
        prepared.fingerprint,
        settings.log_dir,
        lambda: watch(trainee.model, prepared.validation),
    )
    fit(trainee, optimizer, pairs, settings, prepared.temperature, *resume_here(run, run_uri))
    return trainee.model


def _train_on_ray(prepared: Prepared, storage_path: str, run_name: str) -> Mcmfh:
    import ray

    blocks = max(prepared.settings.workers * 4, len(prepared.rows) // 16384)
    dataset = ray.data.from_numpy(np.array_split(prepared.rows, blocks))
    state = train_on_ray(_train_worker, _without_rows(prepared), dataset, prepared.settings, storage_path, run_name)
    trainee = Trainee(prepared.first_model(), prepared.settings)
    unpack_state(state, prepared.fingerprint, trainee)
    return trainee.model


def _without_rows(prepared: Prepared) -> dict[str, Any]:
    first = prepared.first_model().state_dict()
    return {
        "settings": prepared.settings,
        "shape": prepared.shape,
        "widths": prepared.widths,
        "validation": prepared.validation,
        "temperature": prepared.temperature,
        "fingerprint": prepared.fingerprint,
        "first": {name: x.numpy() for name, x in first.items()},
    }


def _train_worker(config: dict[str, Any]) -> None:
    import ray
    from ray.train import get_dataset_shard
    from ray.train.torch import prepare_model

    device = worker_device(config)
    p = ray.get(config["problem"])
    settings: TrainSettings = p["settings"]
    shard = [batch["data"] for batch in get_dataset_shard("train").iter_batches(batch_size=4096)]
    pairs = Pairs.from_rows(torch.from_numpy(np.concatenate(shard)), p["widths"], device)
    model = p["shape"].build()
    model.load_state_dict({name: torch.from_numpy(x.copy()) for name, x in p["first"].items()})
    trainee = Trainee(model, settings)
    module = prepare_model(trainee, device, parallel_strategy_kwargs={"forward_sync_buffers": False})
    optimizer = make_optimizer(trainee, settings)
    run = Run(trainee, optimizer, p["fingerprint"], settings.log_dir, lambda: watch(trainee.model, p["validation"]))
    fit(module, optimizer, pairs, settings, p["temperature"], *resume_in_worker(run))
