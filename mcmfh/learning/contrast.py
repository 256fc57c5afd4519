"""The contrastive loss of both trainings. Shapes: B global batch · D width of the vectors."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def learnt_scale(log_scale: nn.Parameter, most: float) -> Tensor:
    """exp(log_scale), at most `most`: the parameter itself is brought back, as in CLIP (Radford et al. 2021).

    A clamp of the result would have gradient 0 beyond `most`, and the scale would never come back.
    """
    with torch.no_grad():
        log_scale.clamp_(max=math.log(most))
    return log_scale.exp()


def contrast(a_BD: Tensor, b_BD: Tensor, target_BB: Tensor, scale: Tensor) -> Tensor:
    """Cross-entropy of softmax(scale · cos) against the targets, averaged over both directions.

    Each row of `target_BB` is a distribution over the batch; with one-hot rows the loss is NT-Xent.
    """
    similarity_BB = scale * F.normalize(a_BD, dim=-1) @ F.normalize(b_BD, dim=-1).T
    return (F.cross_entropy(similarity_BB, target_BB) + F.cross_entropy(similarity_BB.T, target_BB)) / 2
