"""DScPH (supervised), own implementation: codes gather at learnt class centres that both modalities share.

Three terms: a class-centre penalty 1 − TP / (TP + loss_p + loss_n) on the cosine to class weights, a triplet loss
inside each modality whose margin grows with the share of common labels, and the variance of each bit. The paper
leaves open, and this project chose: cosines below 0 count as 0, all triplets of a batch weigh the same, the weights.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.evaluation.hasher import Hasher
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
class Dscph:
    name: str = "DScPH"
    supervised: bool = True

    def fit(self, train: EmbeddingTable, bits: int, seed: int) -> Hasher:
        return fit_heads(train, bits, seed, CentreLoss, epochs=15, batch=128)
