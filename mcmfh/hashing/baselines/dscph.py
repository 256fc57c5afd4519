"""DScPH (supervised): codes gather at class centres that both modalities share.

Three terms: a class-centre penalty 1 − TP / (TP + loss_p + loss_n) on the cosine to class weights, triplets inside each
modality whose margin adapts, and the variance of each bit. `Dscph` follows the formulas of its public code. That adapts
the margin of triplets and the bound of negative pairs after every epoch (AdaTriplet, Nguyen et al. 2022), and measures
the variance after a learnt rotation. Its public code leaves open whether codes are of unit length where negative pairs
are bounded; here they are.

`DscphSketch` is this project's first version: the margin grows with the share of common labels, and all triplets weigh
the same. It stays as a row of its own while it is better.

Shapes: B batch · K bits · C classes.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.evaluation.hasher import Hasher
from mcmfh.hashing.baselines.linear_heads import fit_linear_heads, labelled_heads
from mcmfh.hashing.baselines.supervised import CodeLoss, fit_heads

MARGIN, TRIPLET_WEIGHT, VARIANCE_WEIGHT = 0.5, 1.0, 0.1


class CentreLoss(CodeLoss):
    def __init__(self, classes: int, bits: int):
        super().__init__(classes, bits)
        self.centre_CK = nn.Parameter(torch.randn(classes, bits))

    def forward(self, image_BK: torch.Tensor, report_BK: torch.Tensor, labels_BC: torch.Tensor) -> torch.Tensor:
        terms = [
            centre_penalty(code_BK, self.centre_CK, labels_BC)
            + TRIPLET_WEIGHT * triplets(code_BK, labels_BC)
            + VARIANCE_WEIGHT * (1 - code_BK.var(0)).mean()
            for code_BK in (image_BK, report_BK)
        ]
        return torch.stack(terms).sum()


def centre_penalty(code_BK: torch.Tensor, centre_CK: torch.Tensor, labels_BC: torch.Tensor) -> torch.Tensor:
    """1 − TP / (TP + loss_p + loss_n), mean over items: near the centres of its labels, far from all others."""
    near_BC = (F.normalize(code_BK, dim=1) @ F.normalize(centre_CK, dim=1).T).clamp(min=0)
    hit_B = (labels_BC * near_BC).sum(1)
    missed_B = (labels_BC * (1 - near_BC)).sum(1)
    false_B = ((1 - labels_BC) * near_BC).sum(1)
    return (1 - hit_B / (hit_B + missed_B + false_B)).mean()


def triplets(code_BK: torch.Tensor, labels_BC: torch.Tensor) -> torch.Tensor:
    """Mean hinge over all (anchor, positive, negative) of a batch; margin × the Jaccard overlap of a pair's labels."""
    common_BB = labels_BC @ labels_BC.T
    count_B = labels_BC.sum(1)
    overlap_BB = common_BB / (count_B[:, None] + count_B - common_BB)
    unit_BK = F.normalize(code_BK, dim=1)
    distance_BB = 1 - unit_BK @ unit_BK.T
    anchor, positive = torch.nonzero((common_BB > 0).fill_diagonal_(False), as_tuple=True)
    reach_P = (distance_BB + MARGIN * overlap_BB)[anchor, positive]
    negative_PB = (common_BB == 0)[anchor]
    hinge_PB = (reach_P[:, None] - distance_BB[anchor]).clamp(min=0) * negative_PB
    return hinge_PB.sum() / negative_PB.sum().clamp(min=1)


@dataclass(frozen=True)
class DscphSketch:
    name: str = "DScPH, own sketch"
    supervised: bool = True

    def fit(self, train: EmbeddingTable, bits: int, seed: int) -> Hasher:
        return fit_heads(train, bits, seed, CentreLoss, epochs=15, batch=128)


FAR, SHARPNESS, PRIOR = 0.3, 1.3, 2.0  # of the penalty: cosines counted as false above this, of its weights, of TP


def public_penalty(code_BK: torch.Tensor, centre_CK: torch.Tensor, labels_BC: torch.Tensor) -> torch.Tensor:
    """1 − TP / (TP + loss_p + loss_n) of a whole batch; the exponential weights of hard cosines have no gradient."""
    near_BC = F.normalize(code_BK, dim=1) @ F.normalize(centre_CK, dim=1).T
    hit = 2 * (near_BC.clamp(min=0) * labels_BC).sum() + PRIOR
    away_BC = 1 - near_BC
    missed = (away_BC * (SHARPNESS * away_BC).exp().detach() * labels_BC).sum()
    false_BC = (near_BC - FAR).clamp(min=0) * (SHARPNESS * (near_BC - 1)).exp().detach() * (1 - labels_BC)
    return 1 - hit / (hit + missed + false_BC.sum())


class AdaptiveTriplets:
    """Triplets of one modality. Margin and bound are those of the epoch before: see `begin_epoch`."""

    def __init__(self) -> None:
        self.margin, self.bound = 0.25, 0.0
        self.gaps: list[torch.Tensor] = []
        self.negatives: list[torch.Tensor] = []

    def begin_epoch(self) -> None:
        """Half the mean gap cos(a, p) − cos(a, n) of all triplets, and halfway from the mean cos(a, n) to 1."""
        if self.gaps:
            self.margin = max(0.0, float(torch.cat(self.gaps).mean()) / 2)
            self.bound = 1 - (1 - float(torch.cat(self.negatives).mean())) / 2
        self.gaps, self.negatives = [], []

    def __call__(self, code_BK: torch.Tensor, labels_BC: torch.Tensor) -> torch.Tensor:
        """The mean violated margin of semi-hard triplets, and the mean excess of negative pairs above the bound."""
        similar_BB = labels_BC @ labels_BC.T > 0
        positive_BB = similar_BB.clone().fill_diagonal_(False)
        unit_BK = F.normalize(code_BK, dim=1)
        cosine_BB = unit_BK @ unit_BK.T
        anchor, positive = torch.nonzero(positive_BB, as_tuple=True)
        dissimilar_PB = ~similar_BB[anchor]
        gap_T = (cosine_BB[anchor, positive][:, None] - cosine_BB[anchor])[dissimilar_PB]
        anchors_B = positive_BB.any(1)
        negative_N = cosine_BB[(~similar_BB & (anchors_B[:, None] | anchors_B)).triu()]
        if not len(gap_T):
            return code_BK.sum() * 0
        self.gaps.append(gap_T.detach())
        self.negatives.append(negative_N.detach())
        violation_S = self.margin - gap_T[(gap_T > 0) & (gap_T < self.margin)]
        excess_N = negative_N[negative_N >= self.bound] - self.bound
        return sum((part.mean() for part in (violation_S, excess_N) if len(part)), start=code_BK.sum() * 0)


class PublicCentreLoss(nn.Module):
    """The whole objective of the public code."""

    def __init__(self, classes: int, bits: int):
        super().__init__()
        self.centre_CK = nn.Parameter(nn.init.xavier_uniform_(torch.empty(classes, bits)))
        self.rotation = nn.utils.parametrizations.orthogonal(
            nn.Linear(bits, bits, bias=False), orthogonal_map="householder"
        )
        self.triplets = AdaptiveTriplets(), AdaptiveTriplets()

    def forward(self, image_BK: torch.Tensor, report_BK: torch.Tensor, labels_BC: torch.Tensor) -> torch.Tensor:
        terms = []
        for code_BK, triplets_of in zip((image_BK, report_BK), self.triplets):
            likely_BK = F.normalize(self.rotation(code_BK), dim=1).sigmoid()
            variance = (likely_BK * (1 - likely_BK)).mean()
            penalty = public_penalty(code_BK, self.centre_CK, labels_BC)
            terms.append(penalty + triplets_of(code_BK, labels_BC) + variance)
        return torch.stack(terms).sum()

    def slow_parameters(self) -> list[nn.Parameter]:
        return list(self.parameters())

    def begin_epoch(self) -> None:
        for each in self.triplets:
            each.begin_epoch()


@dataclass(frozen=True)
class Dscph:
    """As the public code trains it: 100 epochs, batches of 128."""

    epochs: int = 100
    batch: int = 128
    name: str = "DScPH"
    supervised: bool = True

    def fit(self, train: EmbeddingTable, bits: int, seed: int) -> Hasher:
        pairs, heads, classes = labelled_heads(train, bits, seed)
        return fit_linear_heads(pairs, heads, PublicCentreLoss(classes, bits), seed, self.epochs, self.batch)
