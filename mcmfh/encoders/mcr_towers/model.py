"""Towers and aggregation, which embed. Retrieval runs them unmasked, pretraining masked.

Shapes: B batch · S image side · N patches · L tokens · U visible positions · W tower width · D common width.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from mcmfh.encoders.mcr_towers.aggregation import make_aggregation
from mcmfh.encoders.mcr_towers.masking import Mask, all_present, see_all
from mcmfh.encoders.mcr_towers.packaged_tower import PackagedImageTower, PixelMaskedTower
from mcmfh.encoders.mcr_towers.settings import PACKAGED_TOWERS, TowerSettings
from mcmfh.encoders.mcr_towers.towers import ImageTower, ReportTower


class View(NamedTuple):
    """One side of a batch through its tower."""

    vector_BD: Tensor  # float32, unit rows
    local_BUW: Tensor


class Mcr(nn.Module):
    """`vocabulary` is the number of word pieces. The same `seed` gives the same initial weights."""

    def __init__(self, settings: TowerSettings, vocabulary: int, seed: int = 0):
        super().__init__()
        self.settings = settings
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.image_tower = _image_tower(settings)
            self.report_tower = ReportTower(settings, vocabulary)
            self.image_aggregation = make_aggregation(settings, self.image_tower.width)
            self.report_aggregation = make_aggregation(settings, self.report_tower.width)

    def image(self, patches_BNP: Tensor, mask: Mask) -> View:
        local_BUW = self.image_tower(patches_BNP, mask)
        return View(self.image_aggregation(local_BUW, mask), local_BUW)

    def report(self, tokens_BL: Tensor, mask: Mask, words_BLW: Tensor | None = None) -> View:
        local_BUW = self.report_tower(tokens_BL, mask, words_BLW)
        return View(self.report_aggregation(local_BUW, mask), local_BUW)

    def embed_images(self, pixels_BSS3: Tensor) -> Tensor:
        """float32[B, D], unit rows, of uint8[B, S, S, 3]."""
        patches_BNP = self.image_tower.patches(pixels_BSS3)
        return self.image(patches_BNP, see_all(all_present(patches_BNP))).vector_BD

    def embed_reports(self, tokens_BL: Tensor, present_BL: Tensor, words_BLW: Tensor | None = None) -> Tensor:
        """float32[B, D], unit rows, of int64[B, L] and bool[B, L]. words: see ReportTower."""
        return self.report(tokens_BL, see_all(present_BL), words_BLW).vector_BD


def _image_tower(settings: TowerSettings) -> ImageTower | PackagedImageTower:
    if settings.image_tower not in PACKAGED_TOWERS:
        return ImageTower(settings)
    return PixelMaskedTower() if settings.masked_space == "pixel" else PackagedImageTower()
