"""How long training takes, and what Ray Train adds to a step of it."""

import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from mcmfh import ray_session
from mcmfh.config import ClusterConfig
from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.encoders import EncoderSpec, ImagePreprocessing
from mcmfh.hashing.settings import TrainSettings
from mcmfh.training.mcmfh import train

WIDTHS = (1280, 384)  # of the packaged encoder
ROUNDS = 3


def run_training(pairs: int) -> str:
    """Connect to Ray, run `measure_training` and return its result as text."""
    ray_session.connect(ClusterConfig())
    measured = measure_training(pairs)
    plain, ray = (f"{seconds * 1e3:.0f} ms" for seconds in measured["step"].values())
    return (
        f"training loop, {pairs} pairs, {measured['bits']} bits at once: {measured['loop']:.1f} s\n"
        f"a step on one thread: {plain} plain, {ray} as a worker of Ray Train, ratio {measured['ratio']:.3f}"
    )


def measure_training(pairs: int = 4000, bits: tuple[int, ...] = (16, 32, 64)) -> dict[str, Any]:
    """Seconds of the default recipe's training loop, and median seconds of a step with and without Ray Train.

    The loop runs on all cores, with checkpoints and validation. Steps run on one thread, in this process and in one
    worker of Ray Train by turns. Ray must be connected.
    """
    table = correlated_table(pairs)
    loop = _train(table, TrainSettings(bits=bits, workers=0))[0]
    steps: dict[str, list[float]] = {"plain": [], "ray": []}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as Ray gives a worker of one CPU
    for _ in range(ROUNDS):
        for name, workers in (("plain", 0), ("ray", 1)):
            steps[name] += _train(table, TrainSettings(bits=bits, epochs=12, workers=workers))[1]
    torch.set_num_threads(threads)
    seconds = {name: median(values) for name, values in steps.items()}
    return {"pairs": pairs, "bits": bits, "loop": loop, "step": seconds, "ratio": seconds["ray"] / seconds["plain"]}


def correlated_table(pairs: int) -> EmbeddingTable:
    """`pairs` train items and an eighth as many for validation, both modalities noisy projections of one vector."""
    random = np.random.default_rng(0)
    items = pairs + pairs // 8
    hidden = random.standard_normal((items, 32))
    image, report = (
        (hidden @ random.standard_normal((32, width)) + 8 * random.standard_normal((items, width))).astype(np.float32)
        for width in WIDTHS
    )
    names = np.array([f"item-{i}" for i in range(items)])
    present, empty = np.ones(items, bool), np.full(items, "")
    split = np.where(np.arange(items) < pairs, "train", "validation")
    labels = hidden[:, :8] > 1
    kinds = tuple(f"label-{i}" for i in range(8))
    return EmbeddingTable(names, image, report, present, present, split, names, names, empty, names, labels, kinds)


def _train(table: EmbeddingTable, settings: TrainSettings) -> tuple[float, list[float]]:
    """(seconds of the training loop, seconds a step of each epoch)."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    encoder = EncoderSpec("precomputed", "", "", ImagePreprocessing(), *WIDTHS, "cpu")
    with tempfile.TemporaryDirectory() as folder:
        logged = settings.model_copy(update={"log_dir": str(Path(folder) / "log")})
        result = train(table, logged, encoder, folder, "run")
        events = EventAccumulator(str(logged.log_dir))
        events.Reload()
        return result.loop_seconds, [event.value for event in events.Scalars("time/step")]
