"""The training loop, the same in one process and in each worker of Ray Train.

Every worker draws the masks of the whole global batch, by (seed, epoch, step), and takes its own rows of them. Nothing
else is random, so a run resumed from a checkpoint at an epoch's end continues exactly as if it had not stopped.
Shapes: b this worker's rows · N patches · L context.
"""

import time
from collections.abc import Callable
from contextlib import nullcontext
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mcmfh.errors import InputError
from mcmfh.learning.gather import rank, world_size
from mcmfh.learning.schedule import one_cycle
from mcmfh.pretraining.feed import Feed
from mcmfh.pretraining.pairs import Pairs
from mcmfh.pretraining.settings import PretrainSettings
from mcmfh.pretraining.trainee import Trainee
from mcmfh.pretraining.warm_start import warm_started_towers


def make_optimizer(trainee: Trainee, settings: PretrainSettings) -> torch.optim.AdamW:
    """AdamW; only matrices get weight decay. `peak` of a parameter group is its highest learning rate."""
    warm = {id(p) for tower in warm_started_towers(trainee.model, settings) for p in tower.parameters()}
    gentle = settings.tower_learning_rate or settings.learning_rate
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    for p in trainee.parameters():
        if p.requires_grad:
            peak = gentle if id(p) in warm else settings.learning_rate
            decay = settings.weight_decay if p.ndim > 1 else 0.0
            group = groups.setdefault((peak, decay), {"params": [], "peak": peak, "weight_decay": decay})
            group["params"].append(p)
    return torch.optim.AdamW(groups.values(), lr=0.0, betas=(0.9, 0.98), fused=True)


def draw_noise(rows: int, settings: PretrainSettings, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(float32[b, N], float32[b, L]): this worker's rows of the noise that masks the global batch."""
    own = slice(rank() * rows, (rank() + 1) * rows)
    total = rows * world_size()
    patches = torch.rand(total, settings.grid**2, generator=generator)
    return patches[own], torch.rand(total, settings.context, generator=generator)[own]


def step_terms(
    module: nn.Module, pairs: Pairs, settings: PretrainSettings, generator: torch.Generator, device: torch.device
) -> dict[str, Tensor]:
    """Loss terms of one batch under fresh masks."""
    pixels, tokens = pairs.tensors(device)
    patches, positions = draw_noise(len(pairs), settings, generator)
    noise = patches.to(device), positions[:, : tokens.shape[1]].to(device)
    terms: dict[str, Tensor] = module(pixels, tokens, *noise, **pairs.more_tensors(device))
    return terms


def train_step(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    group: list[Pairs],
    settings: PretrainSettings,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """Take one step on the mean gradient of the batches of `group`; returns their mean loss terms, detached."""
    device = next(module.parameters()).device
    optimizer.zero_grad(set_to_none=True)
    mean: dict[str, Tensor] = {}
    for i, pairs in enumerate(group):
        distributed = isinstance(module, DistributedDataParallel)
        # Workers exchange gradients once a step, after its last batch.
        with module.no_sync() if distributed and i + 1 < len(group) else nullcontext():  # type: ignore[operator]
            terms = step_terms(module, pairs, settings, generator, device)
            (torch.stack(list(terms.values())).sum() / len(group)).backward()
        mean = {name: mean.get(name, 0) + value.detach() / len(group) for name, value in terms.items()}
    nn.utils.clip_grad_norm_(module.parameters(), settings.clip)
    optimizer.step()
    return mean


def steps_of_epoch(pairs: int, settings: PretrainSettings) -> int:
    """Steps of an epoch over so many pairs."""
    return -(-max(1, pairs // settings.batch_size) // settings.accumulate)


def fit(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    feed: Feed,
    settings: PretrainSettings,
    pairs: int,
    first_epoch: int = 0,
    after_epoch: Callable[[int, dict[str, float]], None] = lambda epoch, scalars: None,
) -> None:
    """Train from `first_epoch` to the last.

    `after_epoch(epoch, scalars)` is called every `checkpoint_every` epochs and after the last, to checkpoint and
    report. The scalars are the epoch's mean loss terms and the seconds a step took. `module` is a Trainee, bare or
    wrapped in DistributedDataParallel. `pairs`, the number of all workers together, sets the length of the learning
    rate's schedule; a few of them may turn out unreadable. Raises InputError when all are.
    """
    steps = steps_of_epoch(pairs, settings)
    for epoch in range(first_epoch, settings.epochs):
        generator = torch.Generator().manual_seed(settings.seed * 100_003 + epoch)
        module.train()
        started = time.perf_counter()
        total: dict[str, Tensor] = {}
        stream, done = feed(epoch), 0
        while group := list(islice(stream, settings.accumulate)):
            at = epoch * steps + min(done, steps - 1)
            for parameters in optimizer.param_groups:
                parameters["lr"] = one_cycle(at, settings.epochs * steps, parameters["peak"])
            terms = train_step(module, optimizer, group, settings, generator)
            total = {name: total.get(name, 0) + value for name, value in terms.items()}
            done += 1
        if not done:
            raise InputError("none of the archive's image-report pairs can be read; mcmfh check tells why")
        module.eval()
        if (epoch + 1) % settings.checkpoint_every == 0 or epoch + 1 == settings.epochs:
            losses = {f"loss/{name}": float(value) / done for name, value in total.items()}
            after_epoch(epoch, {**losses, "time/step": (time.perf_counter() - started) / done})


def bare(module: nn.Module) -> Trainee:
    """The Trainee itself, without DistributedDataParallel around it."""
    trainee = module.module if isinstance(module, DistributedDataParallel) else module
    assert isinstance(trainee, Trainee)
    return trainee
