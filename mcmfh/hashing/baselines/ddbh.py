"""DDBH (supervised): a pair is similar on one side of a decision boundary, dissimilar on the other.

`Ddbh` follows the formulas of its public code. Each item has two boundaries of its own on the inner product of codes,
one for its similar pairs and one for its dissimilar pairs, and both move with the batch. On the wrong side of a
boundary the logistic loss is twice as steep. Summed over image–image, report–report and image–report pairs, and 0.1 ×
the distance of codes to their signs, summed over similar items.

`DdbhSketch` is this project's first version, whose boundary is 0 for all and whose codes approach the sign of their
classes' mean code. It stays as a row of its own while it is better.

Shapes: B batch · K bits · C classes.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.evaluation.hasher import Hasher
from mcmfh.hashing.baselines.linear_heads import fit_linear_heads, labelled_heads
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
class DdbhSketch:
    name: str = "DDBH, own sketch"
    supervised: bool = True

    def fit(self, train: EmbeddingTable, bits: int, seed: int) -> Hasher:
        return fit_heads(train, bits, seed, BoundaryLoss)


def boundaries(inner_BB: torch.Tensor, similar_BB: torch.Tensor, bits: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(boundary of similar pairs, of dissimilar pairs), float[B, 1] each, for every row.

    With S the mean inner product of similar pairs and D of dissimilar ones, both clipped to [0, K/4], and T = K/4:
    S − (T − S)/T · |S − mean of the greatest tenth of dissimilar pairs| and
    D − D/T · |D − mean of the least tenth of similar pairs|. Without gradient.
    """
    inner_BB, top = inner_BB.detach(), bits / 4
    near = _row_mean(inner_BB, similar_BB).clamp(0, top)
    far = _row_mean(inner_BB, ~similar_BB).clamp(0, top)
    greatest = _greatest_tenth(inner_BB, ~similar_BB)
    least = -_greatest_tenth(-inner_BB, similar_BB)
    return near - (top - near) / top * (near - greatest).abs(), far - far / top * (far - least).abs()


def _row_mean(x_BB: torch.Tensor, chosen_BB: torch.Tensor) -> torch.Tensor:
    return (x_BB * chosen_BB).sum(1, keepdim=True) / chosen_BB.sum(1, keepdim=True).clamp(min=1)


def _greatest_tenth(x_BB: torch.Tensor, chosen_BB: torch.Tensor) -> torch.Tensor:
    """float[B, 1]: the mean of the greatest tenth, rounded up, of the chosen entries of each row."""
    ordered_BB = x_BB.masked_fill(~chosen_BB, -torch.inf).sort(1, descending=True).values
    count_B1 = chosen_BB.sum(1, keepdim=True)
    tenth_BB = torch.arange(x_BB.shape[1]) < count_B1 - count_B1 * 9 // 10
    return _row_mean(ordered_BB.masked_fill(~tenth_BB, 0.0), tenth_BB)


def boundary_loss(left_BK: torch.Tensor, right_BK: torch.Tensor, similar_BB: torch.Tensor) -> torch.Tensor:
    """Mean loss of similar pairs plus mean loss of dissimilar pairs, averaged over the rows that have both.

    A pair's likelihood is logistic in its distance m to the boundary, .99 at m = K/6; where m is negative, at K/12.
    """
    bits = left_BK.shape[1]
    both_B = similar_BB.any(1) & ~similar_BB.all(1)
    similar_BB = similar_BB[both_B]
    if not len(similar_BB):
        return left_BK.sum() * 0
    inner_BB = left_BK[both_B] @ right_BK.T
    of_similar_B1, of_dissimilar_B1 = boundaries(inner_BB, similar_BB, bits)
    margin_BB = torch.where(similar_BB, inner_BB - of_similar_B1, of_dissimilar_B1 - inner_BB)
    slope_BB = torch.where(margin_BB < 0, 2.0, 1.0) * math.log(99) * 6 / bits
    loss_BB = F.softplus(-slope_BB * margin_BB)
    return (_row_mean(loss_BB, similar_BB) + _row_mean(loss_BB, ~similar_BB)).mean()


class PublicBoundaryLoss:
    """The whole objective of the public code."""

    def __call__(self, image_BK: torch.Tensor, report_BK: torch.Tensor, labels_BC: torch.Tensor) -> torch.Tensor:
        similar_BB = labels_BC @ labels_BC.T > 0
        pairs = ((image_BK, image_BK), (report_BK, report_BK), (image_BK, report_BK))
        boundary = torch.stack([boundary_loss(left, right, similar_BB) for left, right in pairs]).sum()
        distance = [(similar_BB.float() @ (x - x.sign()).square()).mean() for x in (image_BK, report_BK)]
        return boundary + QUANTISATION_WEIGHT * torch.stack(distance).sum()

    def slow_parameters(self) -> list[nn.Parameter]:
        return []

    def begin_epoch(self) -> None:
        pass


@dataclass(frozen=True)
class Ddbh:
    """As the public code trains it: 100 epochs, batches of 64."""

    epochs: int = 100
    batch: int = 64
    name: str = "DDBH"
    supervised: bool = True

    def fit(self, train: EmbeddingTable, bits: int, seed: int) -> Hasher:
        pairs, heads, _ = labelled_heads(train, bits, seed)
        return fit_linear_heads(pairs, heads, PublicBoundaryLoss(), seed, self.epochs, self.batch)
