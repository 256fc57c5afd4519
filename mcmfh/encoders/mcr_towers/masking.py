"""Which local features a tower sees, and which the decoder must reconstruct.

Shapes: B batch · L positions (of patches or tokens) · U visible positions. The caller draws the noise that decides,
for the whole global batch, so that the masks do not depend on how many workers share the batch.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Mask:
    index_BU: Tensor  # int64: the visible positions, `valid` ones first
    valid_BU: Tensor  # bool: False in the padding of rows with fewer than U visible positions
    present_BL: Tensor  # bool: positions that exist in the row
    hidden_BL: Tensor  # bool: positions that exist and are not visible

    @property
    def full(self) -> bool:
        """Whether no row has padding, as with pictures; read from the strides and not from the values."""
        return self.valid_BU.stride(0) == 0

    def take(self, x_BL: Tensor) -> Tensor:
        """[B, U, …]: the visible positions of x [B, L, …]."""
        rows = torch.arange(len(x_BL), device=x_BL.device)[:, None]
        return x_BL[rows, self.index_BU]


def see_all(present_BL: Tensor) -> Mask:
    """The mask of a retrieval pass: every position that exists is visible."""
    index_BU = torch.arange(present_BL.shape[1], device=present_BL.device).expand_as(present_BL)
    return Mask(index_BU, present_BL, present_BL, torch.zeros_like(present_BL))


def all_present(x_BL: Tensor) -> Tensor:
    """bool[B, L], true everywhere, for x [B, L, …]; it takes no memory."""
    return torch.ones(1, x_BL.shape[1], dtype=torch.bool, device=x_BL.device).expand(len(x_BL), -1)


def mask_patches(noise_BN: Tensor, ratio: float) -> Mask:
    """Hide `ratio` of the patches of each picture: those with the most noise."""
    seen = max(1, round(noise_BN.shape[1] * (1 - ratio)))
    index_BV = noise_BN.argsort(1)[:, :seen]
    hidden_BN = torch.ones_like(noise_BN, dtype=torch.bool).scatter_(1, index_BV, False)
    return Mask(index_BV, all_present(index_BV), all_present(noise_BN), hidden_BN)


def mask_tokens(noise_BL: Tensor, present_BL: Tensor, fixed_BL: Tensor, ratio: float) -> Mask:
    """Hide `ratio` of each report's tokens, but none of the `fixed` ones; at least one free token stays visible."""
    noise_BL = noise_BL.masked_fill(fixed_BL, -1.0).masked_fill(~present_BL, 2.0)
    free_B = (present_BL & ~fixed_BL).sum(1)
    seen_B = (fixed_BL & present_BL).sum(1) + (free_B * (1 - ratio)).round().long().clamp(min=1).minimum(free_B)
    order_BL = noise_BL.argsort(stable=True, dim=1)
    seen = int(seen_B.max())
    index_BU = order_BL[:, :seen]
    valid_BU = torch.arange(seen, device=noise_BL.device) < seen_B[:, None]
    visible_BL = torch.zeros_like(present_BL).scatter_(1, index_BU, valid_BU)
    return Mask(index_BU, valid_BU, present_BL, present_BL & ~visible_BL)
