"""What the supervised baselines share: one hash head a modality, trained on labelled pairs by a loss of their own."""

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import nn

from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.hashing.baselines.base import Pairs
from mcmfh.hashing.baselines.fitting import apply, fit, mlp
from mcmfh.hashing.codes import pack_codes


class CodeLoss(nn.Module):
    """A loss of relaxed codes; it may have weights of its own, which are trained with the heads."""

    def __init__(self, classes: int, bits: int):
        super().__init__()

    def forward(self, image_BK: torch.Tensor, report_BK: torch.Tensor, labels_BC: torch.Tensor) -> torch.Tensor:
        """Scalar, of codes float[B, K] in (−1, 1) and labels float[B, C] of 0 and 1."""
        raise NotImplementedError


@dataclass(frozen=True)
class HeadHash:
    """`hash` of two independent heads."""

    image: nn.Module
    report: nn.Module
    pairs: Pairs

    def hash(self, table: EmbeddingTable) -> dict[str, np.ndarray]:
        image, report = self.pairs.standardised(table)
        return {"image": pack_codes(apply(self.image, image)), "report": pack_codes(apply(self.report, report))}


def fit_heads(
    train: EmbeddingTable, bits: int, seed: int, loss: type[CodeLoss], epochs: int = 30, batch: int = 256
) -> HeadHash:
    """Train a head for each modality under `loss`, on the pairs of `train` that have labels."""
    pairs = Pairs.of(train, labelled=True)
    labels = torch.from_numpy(pairs.labels[:, pairs.labels.any(0)]).float()
    images, reports = torch.from_numpy(pairs.image), torch.from_numpy(pairs.report)
    torch.manual_seed(seed)
    image, report = mlp(images.shape[1], 512, bits), mlp(reports.shape[1], 512, bits)
    objective = loss(labels.shape[1], bits)

    def step(rows: torch.Tensor) -> torch.Tensor:
        return cast(torch.Tensor, objective(image(images[rows]).tanh(), report(reports[rows]).tanh(), labels[rows]))

    fit(nn.ModuleList([image, report, objective]), step, len(images), seed, epochs, batch)
    return HeadHash(image, report, pairs)
