"""The contrastive loss of both trainings. Shapes: B global batch · D width of the vectors."""

from torch import Tensor
from torch.nn import functional as F


def contrast(a_BD: Tensor, b_BD: Tensor, target_BB: Tensor, scale: Tensor) -> Tensor:
    """Cross-entropy of softmax(scale · cos) against the targets, averaged over both directions.

    Each row of `target_BB` is a distribution over the batch; with one-hot rows the loss is NT-Xent.
    """
    similarity_BB = scale * F.normalize(a_BD, dim=-1) @ F.normalize(b_BD, dim=-1).T
    return (F.cross_entropy(similarity_BB, target_BB) + F.cross_entropy(similarity_BB.T, target_BB)) / 2
