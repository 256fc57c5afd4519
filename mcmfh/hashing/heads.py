"""Hash heads: one trunk and, for every code length K, one linear layer on it.

Shapes: B batch · D input width · H trunk width · K bits.
"""

from collections.abc import Sequence

from torch import Tensor, nn


class HashHead(nn.Module):
    """[B, D] → logits [B, K] for every K. All K learn together: one training serves every code length."""

    def __init__(self, width: int, hidden: int, bits: Sequence[int], input_dropout: float, dropout: float):
        super().__init__()
        self.trunk = nn.Sequential(nn.Dropout(input_dropout), nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout))
        self.out = nn.ModuleDict({str(k): nn.Linear(hidden, k) for k in bits})

    def forward(self, x_BD: Tensor) -> dict[int, Tensor]:
        hidden_BH = self.trunk(x_BD)
        return {int(k): layer(hidden_BH) for k, layer in self.out.items()}
