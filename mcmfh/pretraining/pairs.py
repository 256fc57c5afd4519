"""Manifest rows → decoded pictures and word pieces. Torch is imported late, because decoding workers do without it.

Shapes: n pairs · S image side · L context.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mcmfh.archive.images import Limits
from mcmfh.archive.loading import load_items
from mcmfh.encoders.mcr_towers.vocabulary import PAD, Vocabulary
from mcmfh.encoders.preprocessing import ImagePreprocessing

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Pairs:
    """Images with their reports."""

    pixels: np.ndarray  # uint8[n, S, S, 3], or features of the frozen stages (packaged_tower.py)
    tokens: np.ndarray  # int32[n, L], PAD after each report's end

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, rows: "slice | np.ndarray") -> "Pairs":
        return Pairs(self.pixels[rows], self.tokens[rows])

    def tensors(self, device: "str | torch.device") -> "tuple[torch.Tensor, torch.Tensor]":
        """(pixels, int64[n, longest report]) on `device`."""
        import torch

        longest = int((self.tokens != PAD).sum(1).max())
        tokens = torch.from_numpy(self.tokens[:, :longest].astype(np.int64))
        return torch.tensor(self.pixels, device=device), tokens.to(device)


def decode_pairs(
    rows: Sequence[Mapping[str, Any]], limits: Limits, preprocessing: ImagePreprocessing, vocabulary: Vocabulary
) -> Pairs:
    """The pairs among manifest rows (image_uri, report, report_uri); rows that cannot be read are left out."""
    pixels, reports = [], []
    for loaded in load_items(rows, limits):
        if loaded.image is not None and loaded.report is not None:
            pixels.append(preprocessing(loaded.image))
            reports.append(loaded.report)
    none = np.empty((0, preprocessing.size, preprocessing.size, 3), np.uint8)
    return Pairs(np.stack(pixels) if pixels else none, vocabulary.padded(reports))
