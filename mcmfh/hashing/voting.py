"""Dropout voting: a frozen residual MLP under M fixed dropout masks, whose M outputs are averaged.

Shapes: B batch · D width · M votes. The masks are drawn once from the seed and stored, so a code is reproducible.
Frozen as in MCMFH (arXiv 2512.06449); masks, votes and the average are this project's choice.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class DropoutVoting(nn.Module):
    """vote(x) = normalise(mean_m normalise(x + W₂(mask_m ∘ gelu(W₁x)))).

    The MLP's weights get no gradient, unless `trained` (an ablation).
    """

    mask_MD: Tensor

    def __init__(self, width: int, votes: int, dropout: float, trained: bool = False):
        super().__init__()
        self.inner = nn.Linear(width, width)
        self.outer = nn.Linear(width, width)
        keep = torch.rand(votes, width) >= dropout
        self.register_buffer("mask_MD", keep.float() / (1 - dropout))
        if not trained:
            for parameter in self.parameters():
                parameter.requires_grad_(False)

    def forward(self, x_BD: Tensor) -> Tensor:
        """[B, D] → [B, D] of unit length times √D, the scale that the layers after it expect."""
        hidden_BD = F.gelu(self.inner(x_BD))
        voter_BMD = x_BD.unsqueeze(1) + self.outer(hidden_BD.unsqueeze(1) * self.mask_MD)
        vote_BD = F.normalize(voter_BMD, dim=-1).mean(1)
        scaled_BD: Tensor = F.normalize(vote_BD, dim=-1) * x_BD.shape[-1] ** 0.5
        return scaled_BD
