"""The packaged encoder's image network as a tower: its last stages are trained under the mask, the first are frozen.

EfficientNet-Lite0 convolves, so positions cannot be left out of its input as ViT's patches are. Masks act on the
feature map of the frozen stages: hidden positions are zero in it, and the tower returns visible positions only.
Shapes: B batch · S image side · N positions of the map · C its channels · V visible positions · W tower width.
"""

from math import isqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mcmfh.encoders.mcr_towers.masking import Mask
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
        net: Any = self.net
        x_BCgg = net.bn1(net.conv_stem(image_input(pixels_BSS3).contiguous(memory_format=torch.channels_last)))
        for stage in net.blocks[:FROZEN]:
            x_BCgg = stage(x_BCgg)
        map_BNC: Tensor = x_BCgg.flatten(2).transpose(1, 2)
        return map_BNC

    def forward(self, patches_BNC: Tensor, mask: Mask) -> Tensor:
        """float[B, V, W]: local features of the visible positions, each with mean 0 and variance 1."""
        grid = isqrt(patches_BNC.shape[1])
        seen_BNC = patches_BNC.masked_fill(mask.hidden_BL[..., None], 0.0)
        x_BCgg = seen_BNC.transpose(1, 2).unflatten(2, (grid, grid))
        for stage in self.net.blocks[FROZEN:]:
            x_BCgg = stage(x_BCgg)
        x_BWgg = self.net.bn2(self.net.conv_head(x_BCgg))
        return F.layer_norm(mask.take(x_BWgg.flatten(2).transpose(1, 2)), (self.width,))
