"""The training loop, the same in one process and in each worker of Ray Train.

The random generator is seeded at the start of every epoch by (seed, epoch, rank). A run resumed from a checkpoint at
an epoch's end therefore continues exactly as if it had not stopped.
Shapes: n rows of this worker · D_I, D_T embedding widths · G guide width · C labels.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mcmfh.hashing import targets
from mcmfh.hashing.settings import TrainSettings
from mcmfh.hashing.trainee import Trainee
from mcmfh.learning.contrast import graded
from mcmfh.learning.gather import gather_rows, rank, world_size
from mcmfh.learning.schedule import one_cycle


@dataclass
class Pairs:
    """This worker's train pairs, on the training device."""

    image: Tensor  # float32[n, D_I]
    report: Tensor  # float32[n, D_T]
    guide: Tensor  # float32[n, G]: unit rows, or with labels the shares of their weights
    labels: Tensor  # float32[n, C] in 0 … 1; 1 where an item has the label

    def __len__(self) -> int:
        return len(self.image)

    def __getitem__(self, rows: Tensor) -> "Pairs":
        return Pairs(self.image[rows], self.report[rows], self.guide[rows], self.labels[rows])

    @classmethod
    def from_rows(cls, rows: Tensor, widths: Sequence[int], device: str | torch.device) -> "Pairs":
        """Split float32[n, D_I + D_T + G + C] into its parts, on `device`."""
        image, report, guide, labels = rows.to(device).split(list(widths), 1)
        return cls(image.contiguous(), report.contiguous(), guide.contiguous(), labels.contiguous())


def make_optimizer(trainee: Trainee, settings: TrainSettings) -> torch.optim.AdamW:
    """AdamW; weight decay spares the scale of the contrast."""
    weights = [p for p in trainee.model.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": weights},
        {"params": list(trainee.objective.parameters()), "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True)


def batches(n: int, settings: TrainSettings) -> Iterator[Tensor]:
    """The rows of each step of an epoch, in a fresh order. An incomplete batch is left out unless it is all."""
    size = min(n, settings.batch_size // world_size())
    order = torch.randperm(n)
    for start in range(0, n - size + 1, size):
        yield order[start : start + size]


def batch_target(pairs: Pairs, settings: TrainSettings, temperature: float) -> Tensor:
    """[B, B] targets of the global batch; `pairs` are this worker's rows of it."""
    if settings.supervised and settings.targets == "graded":
        return targets.from_overlap(gather_rows(pairs.guide), gather_rows(pairs.labels), temperature)
    if settings.supervised:
        return targets.from_labels(gather_rows(pairs.labels) > 0)
    if settings.targets == "onehot":
        return targets.one_hot(len(pairs) * world_size(), pairs.image.device)
    return graded(gather_rows(pairs.guide), temperature)


def train_step(
    module: nn.Module, optimizer: torch.optim.Optimizer, pairs: Pairs, settings: TrainSettings, temperature: float
) -> dict[str, Tensor]:
    """One step on this worker's rows of the global batch; returns the loss terms, detached."""
    terms = module(pairs.image, pairs.report, batch_target(pairs, settings, temperature))
    optimizer.zero_grad(set_to_none=True)
    torch.stack(list(terms.values())).sum().backward()
    nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], settings.clip)
    optimizer.step()
    return {name: value.detach() for name, value in terms.items()}


def steps_of_epoch(pairs: int, batch_size: int) -> int:
    """Steps of an epoch over so many pairs; what does not fill a batch is left out."""
    return max(1, pairs // min(pairs, batch_size))


def fit(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    pairs: Pairs,
    settings: TrainSettings,
    temperature: float,
    first_epoch: int = 0,
    after_epoch: Callable[[int, dict[str, float]], None] = lambda epoch, scalars: None,
) -> None:
    """Train from `first_epoch` to the last.

    `after_epoch(epoch, scalars)` is called every `checkpoint_every` epochs and after the last, to checkpoint and
    report. The scalars are the epoch's mean loss terms and the seconds a step took.

    `module` is a Trainee, bare or wrapped in DistributedDataParallel. All workers must hold equally many rows.
    """
    steps = steps_of_epoch(len(pairs), settings.batch_size // world_size())
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if pairs.image.is_cuda else []):
        for epoch in range(first_epoch, settings.epochs):
            torch.manual_seed((settings.seed * 100_003 + epoch) * 1_009 + rank())
            module.train()
            started = time.perf_counter()
            total: dict[str, Tensor] = {}
            for i, rows in enumerate(batches(len(pairs), settings)):
                for group in optimizer.param_groups:
                    group["lr"] = one_cycle(epoch * steps + i, settings.epochs * steps, settings.learning_rate)
                terms = train_step(module, optimizer, pairs[rows.to(pairs.image.device)], settings, temperature)
                total = {name: total.get(name, 0) + value for name, value in terms.items()}
            module.eval()
            if (epoch + 1) % settings.checkpoint_every == 0 or epoch + 1 == settings.epochs:
                losses = {f"loss/{name}": float(value) / steps for name, value in total.items()}
                after_epoch(epoch, {**losses, "time/step": (time.perf_counter() - started) / steps})
