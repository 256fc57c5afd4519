"""Local features → one unit vector of the common space.

Shapes: B batch · U local features · W tower width · D common width.
MCR maps BEFORE it aggregates: zᵢ = φ(tᵢ), a = softmax(w·zᵢ), v = normalise(Σ aᵢ zᵢ). φ is not linear: with a linear φ
and uniform a, both orders would be the same. The cosine with a report's vector u is then a sum over patches of
aᵢ zᵢ·u / ‖Σ aᵢ zᵢ‖, which pretraining/picture.py draws.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mcmfh.encoders.mcr_towers.masking import Mask
from mcmfh.encoders.mcr_towers.settings import TowerSettings


class MapFirst(nn.Module):
    """Mapping before aggregation. Tests may pass `phi`."""

    def __init__(self, width: int, embedding: int, phi: nn.Module | None = None):
        super().__init__()
        self.phi = phi or nn.Sequential(nn.Linear(width, embedding), nn.GELU(), nn.Linear(embedding, embedding))
        self.score = nn.Linear(embedding, 1, bias=False)
        nn.init.zeros_(self.score.weight)  # before training every feature has the same weight

    def parts(self, local_BUW: Tensor, mask: Mask) -> Tensor:
        """float32[B, U, D] whose sum over U is the vector: aᵢ zᵢ / ‖Σ aᵢ zᵢ‖."""
        z_BUD = self.phi(local_BUW).float()
        score_BU = self.score(z_BUD).float().squeeze(-1)
        if not mask.full:
            score_BU = score_BU.masked_fill(~mask.valid_BU, -torch.inf)
        weighted_BUD = score_BU.softmax(1)[..., None] * z_BUD
        part_BUD: Tensor = weighted_BUD / weighted_BUD.sum(1, keepdim=True).norm(dim=-1, keepdim=True).clamp(min=1e-6)
        return part_BUD

    def forward(self, local_BUW: Tensor, mask: Mask) -> Tensor:
        """float32[B, D], unit rows."""
        return self.parts(local_BUW, mask).sum(1)


class PoolFirst(nn.Module):
    """The usual order: v = normalise(W · mean tᵢ)."""

    def __init__(self, width: int, embedding: int):
        super().__init__()
        self.project = nn.Linear(width, embedding)

    def forward(self, local_BUW: Tensor, mask: Mask) -> Tensor:
        """float32[B, D], unit rows."""
        weight_BU1 = mask.valid_BU[..., None].to(local_BUW.dtype)
        pooled_BW = (local_BUW * weight_BU1).sum(1) / weight_BU1.sum(1)
        return F.normalize(self.project(pooled_BW).float(), dim=-1)


def make_aggregation(settings: TowerSettings, width: int) -> MapFirst | PoolFirst:
    """The aggregation that the settings name."""
    return (MapFirst if settings.aggregation == "map_first" else PoolFirst)(width, settings.embedding)
