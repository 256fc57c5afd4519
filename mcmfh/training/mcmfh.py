"""Train MCMFH on a table of embeddings: in this process, or on Ray Train workers; same loop, same result format.

The embeddings are small beside the images they came from, so each worker reads its Ray Data shard once and keeps it
in memory; epochs then cost no I/O and a checkpoint needs no position in a stream. The contrast is global, the global
batch constant: with W workers each takes batch_size / W rows. A run is resumed by its name.

    result = train(table, TrainSettings(bits=(16, 64), workers=2), encoder, "s3://bucket/store", "first-run")
"""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mcmfh import storage
from mcmfh.encoders import EncoderSpec
from mcmfh.encoders.table import EmbeddingTable
from mcmfh.hashing.bundle import Model, load_bundle
from mcmfh.hashing.checkpoint import pack_state, unpack_state
from mcmfh.hashing.completion import complete
from mcmfh.hashing.fitting import Pairs, fit, make_optimizer
from mcmfh.hashing.itq import fit_itq
from mcmfh.hashing.monitor import watch
from mcmfh.hashing.preparation import Prepared, prepare
from mcmfh.hashing.settings import TrainSettings
from mcmfh.hashing.trainee import Trainee
from mcmfh.training.local import chosen_device, scalar_writer

STATE = "state.safetensors"


@dataclass(frozen=True)
class TrainResult:
    """A finished training."""

    bundle_uri: str
    bundle_digest: str
    code_digest: str
    metrics: dict[str, Any]
    loop_seconds: float  # of the training loop of this call: 0 when a finished run was asked for again


def train(
    table: EmbeddingTable,
    settings: TrainSettings,
    encoder: EncoderSpec,
    store: str,
    run_name: str,
) -> TrainResult:
    """Train on the `train` items that have both modalities and write a bundle to `store`/bundles/<bundle digest>/.

    Checkpoints lie in `store`/training/`run_name`; the same name goes on where it stopped. `settings.workers` = 0
    runs here, otherwise Ray must be initialised.
    Raises InputError on unusable data, or when `run_name` belongs to other settings or data.
    """
    prepared = prepare(table, settings)
    store = storage.absolute(store)
    started = time.monotonic()
    if settings.method == "itq":
        model: Model = fit_itq(prepared.image, prepared.report, settings.all_bits, settings.seed)
    elif settings.workers == 0:
        model = _train_here(prepared, storage.join(store, "training", run_name))
    else:
        model = _train_on_ray(prepared, storage.join(store, "training"), run_name)
    loop_seconds = time.monotonic() - started
    uri = complete(model, prepared, encoder, storage.join(store, "bundles"))
    bundle = load_bundle(uri)
    return TrainResult(uri, bundle.bundle_digest, bundle.code_digest, bundle.metrics, loop_seconds)


def _train_here(prepared: Prepared, run_uri: str) -> Model:
    device, settings = chosen_device(prepared.settings.device, "train.device"), prepared.settings
    trainee = Trainee(prepared.first_model(), settings).to(device)
    optimizer = make_optimizer(trainee, settings)
    pairs = Pairs.from_rows(torch.from_numpy(prepared.rows), prepared.widths, device)
    write = scalar_writer(settings.log_dir)
    first_epoch = 0
    if done := storage.names(run_uri):
        state = storage.read(storage.join(run_uri, done[-1]))
        first_epoch = unpack_state(state, prepared.fingerprint, trainee, optimizer)

    def after_epoch(epoch: int, scalars: dict[str, float]) -> None:
        state = pack_state(trainee, optimizer, epoch, prepared.fingerprint)
        storage.create(storage.join(run_uri, f"epoch-{epoch:06d}.safetensors"), state)
        for name in storage.names(run_uri)[:-2]:
            storage.delete(storage.join(run_uri, name))
        write(epoch, scalars | watch(trainee.model, prepared.validation))

    fit(trainee, optimizer, pairs, settings, prepared.temperature, first_epoch, after_epoch)
    return trainee.model


def _train_on_ray(prepared: Prepared, storage_path: str, run_name: str) -> Model:
    import ray
    from ray.train import CheckpointConfig, DataConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    settings = prepared.settings
    use_gpu = settings.device == "cuda" or (settings.device == "auto" and ray.cluster_resources().get("GPU", 0) > 0)
    blocks = max(settings.workers * 4, len(prepared.rows) // 16384)
    dataset = ray.data.from_numpy(np.array_split(prepared.rows, blocks))
    in_order = ray.data.ExecutionOptions(preserve_order=True)
    workers: Any = settings.workers
    if settings.min_workers is not None and settings.min_workers < settings.workers:
        workers = (settings.min_workers, settings.workers)
    trainer = TorchTrainer(
        _train_worker,
        train_loop_config={"prepared": ray.put(_without_rows(prepared))},
        scaling_config=ScalingConfig(num_workers=workers, use_gpu=use_gpu),
        run_config=RunConfig(
            name=run_name,
            storage_path=storage_path,
            checkpoint_config=CheckpointConfig(num_to_keep=2),
            failure_config=FailureConfig(max_failures=8),
        ),
        datasets={"train": dataset},
        dataset_config=DataConfig(execution_options=in_order),
    )
    result = trainer.fit()
    assert result.checkpoint is not None, "every epoch reports a checkpoint"
    trainee = Trainee(prepared.first_model(), settings)
    with result.checkpoint.as_directory() as folder:
        unpack_state((Path(folder) / STATE).read_bytes(), prepared.fingerprint, trainee)
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
    from ray.train import Checkpoint, get_checkpoint, get_context, get_dataset_shard, report
    from ray.train.torch import get_device, prepare_model

    p = ray.get(config["prepared"])
    settings: TrainSettings = p["settings"]
    shard = [batch["data"] for batch in get_dataset_shard("train").iter_batches(batch_size=4096)]
    pairs = Pairs.from_rows(torch.from_numpy(np.concatenate(shard)), p["widths"], get_device())
    model = p["shape"].build()
    model.load_state_dict({name: torch.from_numpy(x.copy()) for name, x in p["first"].items()})
    trainee = Trainee(model, settings)
    module = prepare_model(trainee, parallel_strategy_kwargs={"forward_sync_buffers": False})
    optimizer = make_optimizer(trainee, settings)
    first_epoch = 0
    if checkpoint := get_checkpoint():
        with checkpoint.as_directory() as folder:
            data = (Path(folder) / STATE).read_bytes()
        first_epoch = unpack_state(data, p["fingerprint"], trainee, optimizer)
    leader = get_context().get_world_rank() == 0
    write = scalar_writer(settings.log_dir if leader else None)

    def after_epoch(epoch: int, scalars: dict[str, float]) -> None:
        if not leader:
            report(scalars)
            return
        scalars |= watch(trainee.model, p["validation"])
        write(epoch, scalars)
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / STATE).write_bytes(pack_state(trainee, optimizer, epoch, p["fingerprint"]))
            report(scalars, checkpoint=Checkpoint.from_directory(folder), checkpoint_dir_name=f"epoch-{epoch:06d}")

    fit(module, optimizer, pairs, settings, p["temperature"], first_epoch, after_epoch)
