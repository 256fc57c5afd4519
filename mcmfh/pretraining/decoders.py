"""The decoder that reconstructs hidden patches or word pieces from the visible ones (after MAE).

Shapes: B batch · L positions · U visible positions · W tower width · H decoder width · O outputs (values of a patch,
or word pieces) · M hidden positions of the whole batch.
"""

import torch
from torch import Tensor, nn

from mcmfh.encoders.mcr_towers.masking import Mask


class Decoder(nn.Module):
    """Visible features at their positions and one learnt vector at all others; a few layers; a linear output."""

    def __init__(self, width: int, layers: int, position_LH: Tensor, outputs: int):
        super().__init__()
        hidden = position_LH.shape[1]
        self.enter = nn.Linear(width, hidden)
        self.unseen_H = nn.Parameter(torch.randn(hidden) * 0.02)
        self.position_LH = nn.Parameter(position_LH)
        layer = nn.TransformerEncoderLayer(
            hidden, hidden // 32, 4 * hidden, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, layers, nn.LayerNorm(hidden), enable_nested_tensor=False)
        self.read_out = nn.Linear(hidden, outputs)

    def forward(self, local_BUW: Tensor, mask: Mask) -> Tensor:
        """float[M, O] of the hidden positions, in the order of `x[mask.hidden_BL]`."""
        seen_BUH = self.enter(local_BUW)
        B, L = mask.present_BL.shape
        # Padding in `index` writes to positions beyond a row's end, which attention ignores.
        index_BUH = mask.index_BU[..., None].expand_as(seen_BUH)
        x_BLH = self.unseen_H.to(seen_BUH.dtype).expand(B, L, -1).scatter(1, index_BUH, seen_BUH)
        absent_BL = None if mask.full else ~mask.present_BL
        x_BLH = self.layers(x_BLH + self.position_LH[:L], src_key_padding_mask=absent_BL)
        output_MO: Tensor = self.read_out(x_BLH[mask.hidden_BL])
        return output_MO
