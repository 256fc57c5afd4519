"""Manifest rows → decoded pictures and word pieces. Torch is imported late, because decoding workers do without it.

Shapes: n pairs · S image side · L context.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
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
    # float16[n, L, W]: what a frozen report tower says of each token, where it is known
    words: np.ndarray | None = None
    guide: np.ndarray | None = None  # float32[n, G]: unit rows whose cosines are the graded targets

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, rows: "slice | np.ndarray") -> "Pairs":
        return replace(self, **{name: array[rows] for name, array in self.arrays().items()})

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays that there are, by name."""
        return {field.name: array for field in fields(self) if (array := getattr(self, field.name)) is not None}

    def tensors(self, device: "str | torch.device") -> "tuple[torch.Tensor, torch.Tensor]":
        """(pixels, int64[n, longest report]) on `device`."""
        import torch

        tokens = torch.from_numpy(self.tokens[:, : self.longest].astype(np.int64))
        return torch.tensor(self.pixels, device=device), tokens.to(device)

    def more_tensors(self, device: "str | torch.device") -> "dict[str, torch.Tensor]":
        """words_bLW [n, longest report, W] and guide_bG on `device`, as far as they are known."""
        import torch

        more = {}
        if self.words is not None:
            more["words_bLW"] = torch.tensor(self.words[:, : self.longest], device=device)
        if self.guide is not None:
            more["guide_bG"] = torch.tensor(self.guide, device=device)
        return more

    @property
    def longest(self) -> int:
        """Tokens of the longest report."""
        return int((self.tokens != PAD).sum(1).max(initial=0))


def decode_pairs(
    rows: Sequence[Mapping[str, Any]], limits: Limits, preprocessing: ImagePreprocessing, vocabulary: Vocabulary
) -> Pairs:
    """The pairs among manifest rows (image_uri, report, report_uri); rows that cannot be read are left out.

    A row's `guide`, where it has one, goes with its pair.
    """
    pixels, reports, read = [], [], []
    for row, loaded in zip(rows, load_items(rows, limits)):
        if loaded.image is not None and loaded.report is not None:
            pixels.append(preprocessing(loaded.image))
            reports.append(loaded.report)
            read.append(row)
    none = np.empty((0, preprocessing.size, preprocessing.size, 3), np.uint8)
    guide = None
    if rows and "guide" in rows[0]:  # of no pair at all, too: the blocks of a stream have the same columns
        guide = np.array([row["guide"] for row in read], np.float32).reshape(len(read), len(rows[0]["guide"]))
    return Pairs(np.stack(pixels) if pixels else none, vocabulary.padded(reports), guide=guide)
