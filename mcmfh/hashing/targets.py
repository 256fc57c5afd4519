"""The targets of the contrast: for each item of a batch a distribution over the batch, by similarity.

Shapes: B batch · G guide width · C labels.
"""

import torch
from torch import Tensor


def one_hot(rows: int, device: torch.device) -> Tensor:
    """Each item is similar to itself alone: the targets of plain NT-Xent."""
    return torch.eye(rows, device=device)


def from_labels(labels_BC: Tensor) -> Tensor:
    """Uniform over the batch items that share a label, and the item itself (SupCon, Khosla et al. 2020).

    Every item needs a label: one without would count as different from all others.
    """
    labels = labels_BC.float()
    shared_BB = ((labels @ labels.T) > 0) | torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return shared_BB / shared_BB.sum(1, keepdim=True)


def from_overlap(share_BC: Tensor, labels_BC: Tensor, temperature: float) -> Tensor:
    """softmax(overlap / temperature) over the batch; the overlap of item i with j is Σ share_i · labels_j.

    share, labels: see `label_shares` and `soft_labels` of label_weights.py.
    """
    return (share_BC @ labels_BC.T / temperature).softmax(1)
