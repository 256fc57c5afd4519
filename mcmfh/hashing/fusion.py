"""The fusion transformer: attention between the image and the report of ONE study, never across the batch.

Shapes: B batch · 2 tokens (image, report) · D width. A learnt MISSING token stands for an absent modality.
"""

import torch
from torch import Tensor, nn

from mcmfh.hashing.experts import Experts


class FusionLayer(nn.Module):
    def __init__(self, width: int, heads: int, hidden: int, experts: int, top_k: int):
        super().__init__()
        self.norm_attention, self.norm_experts = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.experts = Experts(width, hidden, experts, top_k)

    def forward(self, x_B2D: Tensor) -> tuple[Tensor, Tensor | None]:
        y_B2D = self.norm_attention(x_B2D)
        x_B2D = x_B2D + self.attention(y_B2D, y_B2D, y_B2D, need_weights=False)[0]
        y_TD, probability_TE = self.experts(self.norm_experts(x_B2D).flatten(0, 1))
        return x_B2D + y_TD.view_as(x_B2D), probability_TE


class FusionTransformer(nn.Module):
    """Two tokens in, two tokens out, with each layer's gate probabilities."""

    def __init__(
        self,
        width: int,
        layers: int,
        heads: int,
        hidden: int,
        experts: int,
        top_k: int,
        missing: bool,
        missing_dropout: float = 0.0,
    ):
        super().__init__()
        self.missing_dropout = missing_dropout
        self.modality_2D = nn.Parameter(torch.randn(2, width) * 0.02)
        self.missing_2D = nn.Parameter(torch.randn(2, width) * 0.02) if missing else None
        self.layers = nn.ModuleList(FusionLayer(width, heads, hidden, experts, top_k) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, image_BD: Tensor | None, report_BD: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """([B, 2, D], one [2B, E] of gate probabilities a layer). At most one side may be None, with `missing`."""
        given = image_BD if image_BD is not None else report_BD
        assert given is not None
        if image_BD is None or report_BD is None:
            assert self.missing_2D is not None, "a lone modality needs missing_token"
            image_BD = self.missing_2D[0].expand_as(given) if image_BD is None else image_BD
            report_BD = self.missing_2D[1].expand_as(given) if report_BD is None else report_BD
        elif self.training and self.missing_2D is not None:  # training pairs lose one side at random, never both
            draw_B1 = torch.rand(len(given), 1, device=given.device)
            image_BD = torch.where(draw_B1 < self.missing_dropout, self.missing_2D[0], image_BD)
            report_BD = torch.where(draw_B1 > 1 - self.missing_dropout, self.missing_2D[1], report_BD)
        x_B2D = torch.stack([image_BD, report_BD], 1) + self.modality_2D
        gates = []
        for layer in self.layers:
            x_B2D, probability_TE = layer(x_B2D)
            if probability_TE is not None:
                gates.append(probability_TE)
        return self.norm(x_B2D), gates
