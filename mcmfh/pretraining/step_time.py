"""How long a training step takes with one masked stream and with the usual two: medians of steps that alternate."""

import time
from collections.abc import Mapping

import numpy as np
import torch

from mcmfh.encoders.mcr_towers.vocabulary import SPECIAL, Vocabulary
from mcmfh.pretraining.fitting import make_optimizer, train_step
from mcmfh.pretraining.pairs import Pairs
from mcmfh.pretraining.settings import PretrainSettings
from mcmfh.pretraining.trainee import Trainee


def both_streams(settings: PretrainSettings) -> dict[str, PretrainSettings]:
    """`settings` with one masked stream and with two, by name."""
    streams = {"masked-only": "masked", "dual-stream": "dual"}
    onehot = settings.model_copy(update={"targets": "onehot"})  # a guide costs no time worth measuring
    return {name: onehot.model_copy(update={"stream": stream}) for name, stream in streams.items()}


class Stepper:
    """Whole training steps of `settings` on random pairs, whose reports fill `fill` of the context on average."""

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
        """Wall-clock seconds of one step."""
        started = time.perf_counter()
        train_step(self.trainee, self.optimizer, [self.pairs], self.settings, self.generator)
        if next(self.trainee.parameters()).is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - started


def step_seconds(settings: Mapping[str, PretrainSettings], rounds: int = 5, device: str = "cpu") -> dict[str, float]:
    """Median seconds of a step of each `settings`, by name; `rounds` steps each, alternating, after one to warm up."""
    steppers = {name: Stepper(each, device) for name, each in settings.items()}
    for stepper in steppers.values():
        stepper.step()
    rounds_taken = [{name: stepper.step() for name, stepper in steppers.items()} for _ in range(rounds)]
    return {name: float(np.median([seconds[name] for seconds in rounds_taken])) for name in steppers}
