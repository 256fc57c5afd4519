"""The training loop that the learnt baselines share: AdamW, one cycle, clipped gradients, deterministic by seed."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn


def fit(
    module: nn.Module,
    loss: Callable[[torch.Tensor], torch.Tensor],
    rows: int,
    seed: int,
    epochs: int,
    batch: int,
    learning_rate: float = 1e-3,
) -> None:
    """Train `module` in place; `loss` takes the rows int64[B] of a batch. Leaves it in eval mode.

    Dropout draws from torch's global generator: seed that before building the module, to make the result reproducible.
    """
    batch = min(batch, rows)
    optimiser = torch.optim.AdamW(module.parameters(), lr=learning_rate, weight_decay=0.05)
    steps = epochs * (rows // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, total_steps=max(2, steps))
    generator = torch.Generator().manual_seed(seed)
    module.train()
    for _ in range(epochs):
        # Rows beyond the last whole batch wait for another epoch's order: a contrast needs equal batches.
        for part in torch.randperm(rows, generator=generator)[: rows // batch * batch].split(batch):
            optimiser.zero_grad()
            loss(part).backward()
            nn.utils.clip_grad_norm_(module.parameters(), 5.0)
            optimiser.step()
            schedule.step()
    module.eval()


def mlp(width_in: int, hidden: int, width_out: int) -> nn.Sequential:
    """Dropout .2 → Linear → GELU → Dropout .4 → Linear: the same head for every learnt baseline."""
    return nn.Sequential(
        nn.Dropout(0.2), nn.Linear(width_in, hidden), nn.GELU(), nn.Dropout(0.4), nn.Linear(hidden, width_out)
    )


@torch.inference_mode()
def apply(module: nn.Module, rows: np.ndarray) -> np.ndarray:
    """float32[N, ·] of rows float[N, D]."""
    outputs: np.ndarray = module(torch.from_numpy(np.ascontiguousarray(rows, np.float32))).numpy()
    return outputs
