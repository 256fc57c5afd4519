"""An encoder that costs nothing: 8 × 8 pixels and letter counts, each through a fixed random matrix."""

import os
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from mcmfh.encoders.base import Encoder
from mcmfh.encoders.preprocessing import ImagePreprocessing
from mcmfh.encoders.spec import EncoderSpec

WIDTH = 24


def spec(device: str = "cpu", source: str | None = None) -> EncoderSpec:
    return EncoderSpec("packaged", "light", "light", ImagePreprocessing(8), WIDTH, WIDTH, device)


class Towers:
    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.image, self.report = (
            torch.from_numpy(rng.standard_normal((n, WIDTH)).astype(np.float32)) for n in (192, 128)
        )

    def image_features(self, pixels_BHW3: torch.Tensor) -> torch.Tensor:
        return (pixels_BHW3.flatten(1).float() / 127.5 - 1) @ self.image

    def tokenize(self, reports: Sequence[str]) -> list[list[int]]:
        return [[ord(letter) % 127 + 1 for letter in report[:256]] for report in reports]

    def report_features(self, tokens_BL: torch.Tensor, mask_BL: torch.Tensor) -> torch.Tensor:
        return (self.report[tokens_BL] * mask_BL.unsqueeze(-1)).mean(1)


class Noted(Encoder):
    """Tells `note` of every unit, before the work, which takes $CHAOS_PACE seconds."""

    def __init__(self, device: str, note: Callable[[str], None]):
        super().__init__(spec(device), Towers())
        self.note = note

    def encode_reports(self, reports: Sequence[str], fixed_batch: int | None = None) -> np.ndarray:
        self.note(f"encode {len(reports)}")
        time.sleep(float(os.environ.get("CHAOS_PACE", "0.02")))
        return super().encode_reports(reports, fixed_batch)


def load(device: str, note: Callable[[str], None]) -> Encoder:
    return Noted(device, note)
