"""What it costs to let the contrast see everything: masked-only against dual-stream, same size, same batch, same run.

Dual-stream makes the same masked pass (visible places only) and, for its contrast, one over all patches and tokens.
Times are medians of whole steps (forward, backward, optimiser), the contestants taking turns. Memory is what a fresh
process needs beyond its libraries: weights, gradients, optimiser state and activations at their peak.
"""

import gc
import multiprocessing
import os
import time
from collections.abc import Mapping

import numpy as np
import torch

from mcmfh.pretraining.fitting import make_optimizer, train_step
from mcmfh.pretraining.pairs import Pairs
from mcmfh.pretraining.settings import PretrainSettings
from mcmfh.pretraining.trainee import Trainee
from mcmfh.pretraining.vocabulary import SPECIAL, Vocabulary
from mcmfh.processes import peak_resident_bytes, resident_bytes

BAR = 0.6


def contestants(settings: PretrainSettings) -> dict[str, PretrainSettings]:
    """The same pretraining with one stream and with two."""
    streams = {"masked-only": "masked", "dual-stream": "dual"}
    return {name: settings.model_copy(update={"stream": stream}) for name, stream in streams.items()}


class Stepper:
    """One contestant: whole training steps on made-up pairs, reports filling `fill` of the context."""

    def __init__(self, settings: PretrainSettings, device: str, fill: float = 0.75):
        pieces = [*SPECIAL, *(f"piece{i}" for i in range(settings.vocabulary_size - len(SPECIAL)))]
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 256, (settings.batch_size, settings.image_size, settings.image_size, 3), np.uint8)
        tokens = rng.integers(len(SPECIAL), len(pieces), (settings.batch_size, settings.context), np.int32)
        length = rng.integers(int(settings.context * (2 * fill - 1)), settings.context + 1, settings.batch_size)
        tokens[np.arange(settings.context) >= length[:, None]] = 0
        self.settings, self.pairs = settings, Pairs(pixels, tokens)
        self.trainee = Trainee(settings, Vocabulary("\n".join(pieces), settings.context)).to(device).train()
        self.optimizer = make_optimizer(self.trainee, settings)
        self.generator = torch.Generator().manual_seed(0)

    def step(self) -> float:
        """Seconds of one step on the wall."""
        started = time.perf_counter()
        train_step(self.trainee, self.optimizer, [self.pairs], self.settings, self.generator)
        if next(self.trainee.parameters()).is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - started


def step_seconds(settings: Mapping[str, PretrainSettings], rounds: int = 5, device: str = "cpu") -> dict[str, float]:
    """Median seconds of a step by contestant, after one step each that does not count."""
    steppers = {name: Stepper(each, device) for name, each in settings.items()}
    for stepper in steppers.values():
        stepper.step()
    times = [{name: stepper.step() for name, stepper in steppers.items()} for _ in range(rounds)]
    return {name: float(np.median([taken[name] for taken in times])) for name in steppers}


def peak_bytes(settings: PretrainSettings, device: str = "cpu") -> int:
    """Peak memory of two steps: of the GPU's allocator, or of a fresh process beyond what its libraries take."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=_send_peak, args=(settings, device, sender))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    finally:
        process.join()


def _send_peak(settings: PretrainSettings, device: str, sender) -> None:
    small = settings.model_copy(update={"batch_size": 2, "size": "tiny", "image_tower": None, "image_size": 32})
    Stepper(small, device).step()  # loads every library there is to load
    gc.collect()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    before = resident_bytes(os.getpid())
    stepper = Stepper(settings, device)
    for _ in range(2):
        stepper.step()
    sender.send(torch.cuda.max_memory_allocated() if device == "cuda" else peak_resident_bytes(os.getpid()) - before)


def run(settings: PretrainSettings, rounds: int = 5) -> str:
    """The table, as Markdown."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    pair = contestants(settings)
    seconds = step_seconds(pair, rounds, device)
    memory = {name: peak_bytes(each, device) for name, each in pair.items()}
    masked, dual = pair
    lines = [
        f"size {settings.size}, {settings.image_size} px, context {settings.context}, batch {settings.batch_size}, "
        f"{'bfloat16' if settings.amp else 'float32'}, {device}, {torch.get_num_threads()} threads",
        "",
        f"| | {masked} | {dual} | ratio | bar |",
        "|---|---|---|---|---|",
    ]
    for what, found, unit in (("step, s", seconds, 1.0), ("peak memory, MB", memory, 1e6)):
        values = [f"{found[name] / unit:.3g}" for name in (masked, dual)]
        lines.append(f"| {what} | {' | '.join(values)} | {found[masked] / found[dual]:.2f} | ≤ {BAR} |")
    return "\n".join(lines)
