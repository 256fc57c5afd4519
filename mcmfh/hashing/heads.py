"""Hash heads: one trunk and, for every code length K, one linear layer on it.

Shapes: B batch · D input width · H trunk width · K bits.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Dropout(nn.Module):
    """torch's dropout with a faster mask on the CPU: it compares 16 random bits an entry with p, which is thereby
    rounded to 1/65,536. Drawing torch's own mask took a fifth of a training step."""

    def __init__(self, p: float):
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0 or x.is_cuda:
            return F.dropout(x, self.p, self.training)
        words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        keep = words.view(torch.int16)[: x.numel()].view(x.shape) >= round(self.p * 2**16) - 2**15
        return x * keep.to(x.dtype).mul_(1 / (1 - self.p))


class HashHead(nn.Module):
    """[B, D] → logits [B, K] for every K. All K are trained together, so that one training gives every code length."""

    def __init__(
        self,
        width: int,
        hidden: int,
        bits: Sequence[int],
        input_dropout: float,
        dropout: float,
        activation: str = "gelu",
    ):
        super().__init__()
        act = nn.ReLU() if activation == "relu" else nn.GELU()
        self.trunk = nn.Sequential(Dropout(input_dropout), nn.Linear(width, hidden), act, Dropout(dropout))
        self.out = nn.ModuleDict({str(k): nn.Linear(hidden, k) for k in bits})

    def forward(self, x_BD: Tensor) -> dict[int, Tensor]:
        hidden_BH = self.trunk(x_BD)
        return {int(k): layer(hidden_BH) for k, layer in self.out.items()}
