"""Joint ITQ on contrastive heads: InfoNCE with one-hot targets makes the space (Oord 2018; CLIP), ITQ the codes."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.evaluation.hasher import Hasher
from mcmfh.hashing.baselines.base import Pairs
from mcmfh.hashing.baselines.fitting import apply, fit, mlp
from mcmfh.hashing.baselines.itq import Space, joint_itq
from mcmfh.hashing.settings import MAX_SCALE
from mcmfh.hashing.teachers import unit
from mcmfh.learning.contrast import learnt_scale


class Heads(nn.Module):
    """One head a modality."""

    def __init__(self, image_width: int, report_width: int, width: int, hidden: int = 512):
        super().__init__()
        self.image = mlp(image_width, hidden, width)
        self.report = mlp(report_width, hidden, width)
        self.log_scale = nn.Parameter(torch.tensor(np.log(10.0), dtype=torch.float32))


def contrastive_space(train: EmbeddingTable, seed: int, width: int = 128, epochs: int = 12, batch: int = 512) -> Space:
    """Unit vectors of both modalities, from heads trained on the pairs of `train`."""
    pairs = Pairs.of(train)
    torch.manual_seed(seed)
    heads = Heads(pairs.image.shape[1], pairs.report.shape[1], width)
    image, report = torch.from_numpy(pairs.image), torch.from_numpy(pairs.report)

    def loss(rows: torch.Tensor) -> torch.Tensor:
        left, right = F.normalize(heads.image(image[rows])), F.normalize(heads.report(report[rows]))
        return info_nce(left, right, learnt_scale(heads.log_scale, MAX_SCALE))

    fit(heads, loss, len(image), seed, epochs, batch)

    def space(table: EmbeddingTable) -> tuple[np.ndarray, np.ndarray]:
        image, report = pairs.standardised(table)
        return unit(apply(heads.image, image)), unit(apply(heads.report, report))

    return space


def info_nce(left: torch.Tensor, right: torch.Tensor, scale: torch.Tensor | float) -> torch.Tensor:
    """Symmetric cross-entropy of unit rows [B, d]: row i belongs to row i."""
    logits = scale * left @ right.T
    target = torch.arange(len(left), device=left.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


@dataclass(frozen=True)
class ContrastiveItq:
    name: str = "contrastive + joint ITQ"
    supervised: bool = False

    def fit(self, train: EmbeddingTable, bits: int, seed: int) -> Hasher:
        return joint_itq(contrastive_space(train, seed, width=max(128, bits)), train, bits, seed)
