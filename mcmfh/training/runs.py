"""Runs of both trainings, in this process or on Ray Train: checkpoints, scalars and workers."""

import math
import re
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import Optimizer

from mcmfh.console import Advance
from mcmfh.errors import InputError
from mcmfh.learning.checkpoint import pack_state, unpack_state
from mcmfh.learning.run_settings import RunSettings, gpus_to_ask_for
from mcmfh.learning.scalars import scalar_writer
from mcmfh.store import files

STATE = "state.safetensors"
EPOCH = re.compile(r"^epoch-(\d+)")  # names of checkpoints
AfterEpoch = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True)
class Run:
    """The state that a checkpoint holds, and the fingerprint of its run. `watch()` returns further scalars by tag."""

    trainee: nn.Module
    optimizer: Optimizer
    fingerprint: str
    log_dir: str | None
    watch: Callable[[], dict[str, float]]

    def state(self, epoch: int) -> bytes:
        return pack_state(self.trainee, self.optimizer, epoch, self.fingerprint)

    def restore(self, state: bytes) -> int:
        """Load a checkpoint; returns the next epoch."""
        return unpack_state(state, self.fingerprint, self.trainee, self.optimizer)


def resume_here(run: Run, uri: str) -> tuple[int, AfterEpoch]:
    """(first epoch, callback after each epoch) of a run in this process; keeps the last two checkpoints below `uri`."""
    done = files.names(uri)
    first_epoch = run.restore(files.read(files.join(uri, done[-1]))) if done else 0
    write = scalar_writer(run.log_dir)

    def after_epoch(epoch: int, scalars: dict[str, float]) -> None:
        files.create(files.join(uri, f"epoch-{epoch:06d}.safetensors"), run.state(epoch))
        for name in files.names(uri)[:-2]:
            files.delete(files.join(uri, name))
        write(epoch, scalars | run.watch())

    return first_epoch, after_epoch


def resume_in_worker(run: Run) -> tuple[int, AfterEpoch]:
    """The same in a worker of Ray Train. The first worker alone writes checkpoints and calls `watch`."""
    from ray.train import Checkpoint, get_checkpoint, get_context, report

    first_epoch = 0
    if checkpoint := get_checkpoint():
        with checkpoint.as_directory() as folder:
            first_epoch = run.restore((Path(folder) / STATE).read_bytes())
    leader = get_context().get_world_rank() == 0
    write = scalar_writer(run.log_dir if leader else None)

    def after_epoch(epoch: int, scalars: dict[str, float]) -> None:
        if not leader:
            report(scalars)
            return
        scalars |= run.watch()
        write(epoch, scalars)
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / STATE).write_bytes(run.state(epoch))
            report(scalars, checkpoint=Checkpoint.from_directory(folder), checkpoint_dir_name=f"epoch-{epoch:06d}")

    return first_epoch, after_epoch


@contextmanager
def reported(uri: str, epochs: int, steps: int, progress: Advance | None, look_s: float = 5) -> Iterator[None]:
    """Tell `progress` how many steps are done while a training runs in the block, by its checkpoints below `uri`.

    steps: of an epoch.
    """
    if progress is None:
        yield
        return
    end = threading.Event()

    def look() -> None:
        while not end.wait(look_s):
            with suppress(OSError):  # the next look may see more
                done = [int(number) for name in files.names(uri) for number in EPOCH.findall(name)]
                progress((max(done, default=-1) + 1) * steps, epochs * steps)

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    try:
        yield
    finally:
        end.set()
        looking.join()
    progress(epochs * steps, epochs * steps)


def worker_device(config: dict[str, Any]) -> Any:
    """The torch device of this worker's tensors. Ray's own `get_device` is a GPU wherever one is asked for."""
    import torch
    from ray.train.torch import get_device

    return get_device() if config["device"] == "cuda" else torch.device("cpu")


def cores_of_worker(workers: int, most: float) -> float:
    """How many cores each of `workers` asks Ray for: `most`, or its share of the only node where none can join.

    Of that node a fiftieth is left to Ray Data, which reads and decodes beside them.
    """
    import ray

    nodes: list[dict[str, Any]] = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    if len(nodes) > 1 or not nodes[0]["NodeManagerAddress"].startswith("127."):
        return most
    cores: float = nodes[0]["Resources"].get("CPU", 0)
    share = math.floor(9800 * cores / workers) / 1e4  # Ray counts in 1/10,000
    return most if workers * most <= cores else share or most


def train_on_ray(
    worker: Callable[[dict[str, Any]], None],
    problem: Any,
    dataset: Any,
    settings: RunSettings,
    root: str,
    name: str,
    cpus: float = 1.0,
) -> bytes:
    """Run `worker(config)` on settings.workers workers; returns the last checkpoint's state.

    config: {"problem": reference to `problem`, "device": "cpu" | "cuda"}; see `worker_device`.
    dataset: of Ray Data, read in its order; root, name: the checkpoints are below root/name; cpus: cores of a worker,
    or fewer, see `cores_of_worker`.
    """
    import ray
    from ray.train import CheckpointConfig, DataConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from mcmfh.training.network import ReachableTorchConfig

    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    on_gpu = settings.device == "cuda" or (settings.device == "auto" and resources.get("GPU", 0) > 0)
    device = "cuda" if on_gpu else "cpu"
    gpus = gpus_to_ask_for(settings.num_gpus, device)
    workers: Any = settings.workers
    if settings.min_workers is not None and settings.min_workers < settings.workers:
        workers = (settings.min_workers, settings.workers)
    if on_gpu and gpus < 1 and settings.workers > 1:
        raise InputError(f"{settings.workers} workers cannot share a GPU; train with workers: 1, or num_gpus: 1")
    filesystem, path = files.arrow_filesystem(root)
    trainer = TorchTrainer(
        worker,
        train_loop_config={"problem": ray.put(problem), "device": device},
        torch_config=ReachableTorchConfig(backend="nccl" if on_gpu else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=workers,
            use_gpu=gpus > 0,
            resources_per_worker={
                "CPU": cores_of_worker(settings.workers, cpus),
                "GPU": gpus,
                "memory": (settings.memory_mb or 0) * 2**20,
            },
            placement_strategy="SPREAD",
        ),
        run_config=RunConfig(
            name=name,
            storage_path=path,
            storage_filesystem=filesystem,
            checkpoint_config=CheckpointConfig(num_to_keep=2),
            failure_config=FailureConfig(max_failures=8),
        ),
        datasets={"train": dataset},
        dataset_config=DataConfig(execution_options=ray.data.ExecutionOptions(preserve_order=True)),
    )
    result = trainer.fit()
    assert result.checkpoint is not None, "the last epoch reports a checkpoint"
    with result.checkpoint.as_directory() as folder:
        return (Path(folder) / STATE).read_bytes()
