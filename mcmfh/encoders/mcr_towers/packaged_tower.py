"""The packaged encoder's image network as a tower: its last stages are trained under the mask, the first are frozen.

EfficientNet-Lite0 convolves, so positions cannot be left out of its input as ViT's patches are. There are two towers:

- `PackagedImageTower` is masked in feature space. Hidden positions are zero in the feature map of the frozen stages,
  and the tower returns visible positions only. The frozen stages saw the whole picture, so that a visible feature
  depends on what is hidden. It is the quicker one, because the map is made once for all epochs.
- `PixelMaskedTower` is masked before the network: hidden cells are grey, and what they show has no influence.

Shapes: B batch · S image side · N positions of the map · C its channels · V visible positions · W tower width ·
P values of a cell · p its side.
"""

from math import isqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mcmfh.encoders.mcr_towers.masking import Mask
from mcmfh.encoders.mcr_towers.settings import PACKAGED_PATCH
from mcmfh.encoders.packaged import IMAGE_NETWORK, image_input

FROZEN = 6  # of seven stages; the last one and the final convolution, a million weights, are trained


class PackagedImageTower(nn.Module):
    """The network without its weights, which a warm start or a bundle loads."""

    def __init__(self) -> None:
        import timm

        super().__init__()
        net: Any = timm.create_model(IMAGE_NETWORK, pretrained=False, num_classes=0)
        for layer in (net.conv_stem, net.bn1, *net.blocks[:FROZEN]):
            layer.requires_grad_(False)
        self.width: int = net.num_features
        self.values: int = net.blocks[FROZEN - 1][-1].bn3.num_features
        self.net: Any = net.eval()

    def train(self, mode: bool = True) -> "PackagedImageTower":
        """Ignored: batch normalisation keeps the statistics that came with the weights."""
        return super().train(False)

    @torch.no_grad()
    def patches(self, pixels_BSS3: Tensor) -> Tensor:
        """float32[B, N, C] of uint8[B, S, S, 3]. Floats are features of this method already."""
        if pixels_BSS3.is_floating_point():
            return pixels_BSS3.float()
        return self._frozen(image_input(pixels_BSS3)).flatten(2).transpose(1, 2)

    @torch.no_grad()
    def _frozen(self, x_B3SS: Tensor) -> Tensor:
        net: Any = self.net
        x_BCgg: Tensor = net.bn1(net.conv_stem(x_B3SS.contiguous(memory_format=torch.channels_last)))
        for stage in net.blocks[:FROZEN]:
            x_BCgg = stage(x_BCgg)
        return x_BCgg

    def forward(self, patches_BNC: Tensor, mask: Mask) -> Tensor:
        """float[B, V, W]: local features of the visible positions, each with mean 0 and variance 1."""
        grid = isqrt(patches_BNC.shape[1])
        seen_BNC = patches_BNC.masked_fill(mask.hidden_BL[..., None], 0.0)
        return self._trained(seen_BNC.transpose(1, 2).unflatten(2, (grid, grid)), mask)

    def _trained(self, x_BCgg: Tensor, mask: Mask) -> Tensor:
        for stage in self.net.blocks[FROZEN:]:
            x_BCgg = stage(x_BCgg)
        x_BWgg = self.net.bn2(self.net.conv_head(x_BCgg))
        return F.layer_norm(mask.take(x_BWgg.flatten(2).transpose(1, 2)), (self.width,))


class PixelMaskedTower(PackagedImageTower):
    """Hidden cells are grey before the network sees the picture, and the decoder reconstructs their pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.values = 3 * PACKAGED_PATCH**2

    def patches(self, pixels_BSS3: Tensor) -> Tensor:
        """float32[B, N, P] of uint8[B, S, S, 3], in [-1, 1]; values in the order (channel, y, x)."""
        return (
            image_input(pixels_BSS3)
            .unfold(2, PACKAGED_PATCH, PACKAGED_PATCH)
            .unfold(3, PACKAGED_PATCH, PACKAGED_PATCH)
            .permute(0, 2, 3, 1, 4, 5)
            .flatten(3)
            .flatten(1, 2)
        )

    def forward(self, patches_BNP: Tensor, mask: Mask) -> Tensor:
        """float[B, V, W]: local features of the visible cells, each with mean 0 and variance 1."""
        grid, p = isqrt(patches_BNP.shape[1]), PACKAGED_PATCH
        seen_BNP = patches_BNP.masked_fill(mask.hidden_BL[..., None], 0.0)  # 0 is the middle grey
        cells = seen_BNP.view(-1, grid, grid, 3, p, p).permute(0, 3, 1, 4, 2, 5)
        return self._trained(self._frozen(cells.reshape(-1, 3, grid * p, grid * p)), mask)
