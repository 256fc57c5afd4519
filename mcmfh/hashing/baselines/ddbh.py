"""DDBH (supervised), own implementation: a pair is similar on one side of a decision boundary, dissimilar on the other.

The likelihood of a pair is logistic in half the inner product of its codes; on the wrong side of the boundary
the loss is twice as steep. Summed over image–image, report–report and image–report pairs, and 0.1 ×
the distance of each code to the sign of its classes' mean code (class-wise quantisation).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.evaluation.hasher import Hasher
from mcmfh.hashing.baselines.supervised import CodeLoss, fit_heads

QUANTISATION_WEIGHT = 0.1


class BoundaryLoss(CodeLoss):
    def forward(self, image_BK: torch.Tensor, report_BK: torch.Tensor, labels_BC: torch.Tensor) -> torch.Tensor:
        similar_BB = (labels_BC @ labels_BC.T > 0).to(image_BK.dtype)
        pairs = ((image_BK, image_BK), (report_BK, report_BK), (image_BK, report_BK))
        boundary = torch.stack([pair_loss(left @ right.T / 2, similar_BB) for left, right in pairs]).sum()
        spread = sum(class_quantisation(code_BK, labels_BC) for code_BK in (image_BK, report_BK))
        return boundary + QUANTISATION_WEIGHT * spread


def pair_loss(inner_BB: torch.Tensor, similar_BB: torch.Tensor) -> torch.Tensor:
    """Mean of log(1 + e^−m), m the signed distance to the boundary; below 0 its slope is doubled, continuously."""
    margin_BB = torch.where(similar_BB > 0, inner_BB, -inner_BB)
    logistic_BB = F.softplus(-margin_BB)
    at_boundary = F.softplus(torch.zeros((), dtype=inner_BB.dtype))
    return (logistic_BB + (logistic_BB - at_boundary).clamp(min=0)).mean()


def class_quantisation(code_BK: torch.Tensor, labels_BC: torch.Tensor) -> torch.Tensor:
    """Mean squared distance of a code to the sign of the mean code of each class it belongs to."""
    mean_CK = labels_BC.T @ code_BK.detach()
    target_CK = torch.where(mean_CK > 0, 1.0, -1.0)
    squared_BC = (code_BK[:, None] - target_CK[None]).pow(2).mean(2)
    return (squared_BC * labels_BC).sum() / labels_BC.sum()


@dataclass(frozen=True)
class Ddbh:
    name: str = "DDBH"
    supervised: bool = True

    def fit(self, train: EmbeddingTable, bits: int, seed: int) -> Hasher:
        return fit_heads(train, bits, seed, BoundaryLoss)
