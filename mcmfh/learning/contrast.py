"""The contrastive loss of both trainings. Shapes: B global batch · D width of the vectors · G guide width."""

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


def graded(guide_BG: Tensor, temperature: float) -> Tensor:
    """softmax(cos / temperature) over the batch, of the teacher's unit-length guide vectors."""
    return (guide_BG @ guide_BG.T / temperature).softmax(1)


def contrast(a_BD: Tensor, b_BD: Tensor, target_BB: Tensor, scale: Tensor) -> Tensor:
    """Cross-entropy of softmax(scale · cos) against the targets, averaged over both directions.

    Each row of `target_BB` is a distribution over the batch; with one-hot rows the loss is NT-Xent.
    """
    similarity_BB = scale * F.normalize(a_BD, dim=-1) @ F.normalize(b_BD, dim=-1).T
    return (F.cross_entropy(similarity_BB, target_BB) + F.cross_entropy(similarity_BB.T, target_BB)) / 2


def within(a_BD: Tensor, target_BB: Tensor, scale: Tensor) -> Tensor:
    """`contrast` within one modality; an item's similarity to itself counts on neither side."""
    itself = torch.eye(len(a_BD), dtype=torch.bool, device=a_BD.device)
    unit_BD = F.normalize(a_BD, dim=-1)
    similarity_BB = (scale * unit_BD @ unit_BD.T).masked_fill(itself, -1e4)
    others_BB = target_BB.masked_fill(itself, 0)
    total_B1 = others_BB.sum(1, keepdim=True)
    # A row whose target is itself alone (one-hot) contributes nothing.
    return F.cross_entropy(similarity_BB, others_BB / total_B1.clamp(min=1e-8))
