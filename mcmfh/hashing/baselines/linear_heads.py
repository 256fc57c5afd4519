"""What DDBH and DScPH share in their public code: one linear hash layer a modality, and how it is trained.

Linear → dropout .2 → tanh. Adam (β .9, .98) with decoupled weight decay .2, a tenth of the steps as warm-up, then half
a cosine, and each weight's gradient clipped to norm 1. Their public code also tunes CLIP below that layer; here the
embeddings are frozen, as for every baseline.

Shapes: B batch · K bits · C classes.
"""

import math
from typing import Protocol

import torch
from torch import nn

from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.hashing.baselines.base import Pairs
from mcmfh.hashing.baselines.supervised import HeadHash

WARMUP = 0.1


class PublicLoss(Protocol):
    def __call__(self, image_BK: torch.Tensor, report_BK: torch.Tensor, labels_BC: torch.Tensor) -> torch.Tensor: ...

    def slow_parameters(self) -> list[nn.Parameter]:
        """Weights of the loss itself, which are trained at a hundredth of the heads' rate."""
        ...

    def begin_epoch(self) -> None:
        """Called before each epoch."""
        ...


class LinearHead(nn.Module):
    def __init__(self, width: int, bits: int):
        super().__init__()
        self.linear = nn.Linear(width, bits)
        self.dropout = nn.Dropout(0.2)

    def forward(self, x_BD: torch.Tensor) -> torch.Tensor:
        code_BK: torch.Tensor = self.dropout(self.linear(x_BD)).tanh()
        return code_BK


def warmup_cosine(progress: float) -> float:
    """The share of the peak rate at `progress` in [0, 1] of all steps."""
    return progress / WARMUP if progress < WARMUP else 0.5 * (1 + math.cos(math.pi * progress))


def fit_linear_heads(
    pairs: Pairs, heads: nn.ModuleList, loss: PublicLoss, seed: int, epochs: int, batch: int, rate: float = 1e-3
) -> HeadHash:
    """Train `heads` = (image, report) under `loss` on labelled pairs; the last batch of an epoch may be smaller."""
    labels = torch.from_numpy(pairs.labels[:, pairs.labels.any(0)]).float()
    images, reports = torch.from_numpy(pairs.image), torch.from_numpy(pairs.report)
    slow = loss.slow_parameters()
    groups = [{"params": list(heads.parameters()), "lr": rate}]
    if slow:
        groups.append({"params": slow, "lr": rate / 100})
    optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.2)
    steps = epochs * math.ceil(len(images) / batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: warmup_cosine(step / steps))
    generator = torch.Generator().manual_seed(seed)
    heads.train()
    for _ in range(epochs):
        loss.begin_epoch()
        for rows in torch.randperm(len(images), generator=generator).split(batch):
            optimiser.zero_grad()
            loss(heads[0](images[rows]), heads[1](reports[rows]), labels[rows]).backward()
            for parameter in [*heads.parameters(), *slow]:
                nn.utils.clip_grad_norm_(parameter, 1.0)
            optimiser.step()
            schedule.step()
    heads.eval()
    return HeadHash(heads[0], heads[1], pairs)


def labelled_heads(train: EmbeddingTable, bits: int, seed: int) -> tuple[Pairs, nn.ModuleList, int]:
    """(labelled pairs, heads drawn by `seed`, number of classes that occur)."""
    pairs = Pairs.of(train, labelled=True)
    torch.manual_seed(seed)
    heads = nn.ModuleList(LinearHead(x.shape[1], bits) for x in (pairs.image, pairs.report))
    return pairs, heads, int(pairs.labels.any(0).sum())
