"""What every encoder is: two frozen towers, a preprocessing and a digest that changes whenever an embedding could.

Shapes: B batch · S image side · D_I, D_T embedding widths (they may differ; the hash heads take any width).

A batch's shape changes the last bits of its embeddings (matrix kernels are picked by shape). Where codes must be
byte-identical whatever the order or the worker, batches are therefore padded to one fixed shape: `fixed_batch`.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol

import numpy as np
import torch

from mcmfh.archive.images import DECODE_POLICY
from mcmfh.encoders.preprocessing import ImagePreprocessing
from mcmfh.storage import digest

# Everything that decodes or computes between a file's bytes and an embedding.
_LIBRARIES = [
    "torch",
    "timm",
    "transformers",
    "tokenizers",
    "open_clip_torch",
    "numpy",
    "pillow",
    "pydicom",
    "pylibjpeg",
    "pylibjpeg-libjpeg",
    "pylibjpeg-openjpeg",
]
TOKEN_LENGTHS = (32, 64, 128, 256)


def library_versions() -> dict[str, str | None]:
    """Version of every library that can change an embedding; None where one is not installed."""
    found: dict[str, str | None] = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


@dataclass(frozen=True)
class EncoderSpec:
    """All that determines an embedding but the item itself. `digest` names the embeddings' folder."""

    name: str
    weights: str  # sha256 of the weight and vocabulary files
    architecture: str
    preprocessing: ImagePreprocessing
    image_width: int
    report_width: int
    device: str
    dtype: str = "float32"

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The JSON object that the digest is taken of."""
        return {**asdict(self), "decode_policy": DECODE_POLICY, "libraries": library_versions()}

    @cached_property
    def digest(self) -> str:
        """sha256 of `identity`: the encoder_digest."""
        return digest(self.identity)


class Towers(Protocol):
    """The two networks of an encoder, on one device."""

    def image_features(self, pixels_BHW3: torch.Tensor) -> torch.Tensor: ...
    def tokenize(self, reports: Sequence[str]) -> list[list[int]]: ...
    def report_features(self, tokens_BL: torch.Tensor, mask_BL: torch.Tensor) -> torch.Tensor: ...


class Encoder:
    """Images and reports → embeddings, by any pair of towers."""

    def __init__(self, spec: EncoderSpec, towers: Towers):
        self.spec = spec
        self.towers = towers

    @torch.inference_mode()
    def encode_images(self, pixels_BHW3: np.ndarray, fixed_batch: int | None = None) -> np.ndarray:
        """float32[B, D_I] of preprocessed pictures uint8[B, S, S, 3]."""
        parts = [
            self.towers.image_features(torch.from_numpy(batch).to(self.spec.device)).float().cpu().numpy()[:rows]
            for batch, rows in _batches(np.array(pixels_BHW3), fixed_batch)
        ]
        return np.concatenate(parts) if parts else np.empty((0, self.spec.image_width), np.float32)

    @torch.inference_mode()
    def encode_reports(self, reports: Sequence[str], fixed_batch: int | None = None) -> np.ndarray:
        """float32[B, D_T] of texts. Each is padded to the least of TOKEN_LENGTHS that holds it, longer ones are cut."""
        embeddings = np.empty((len(reports), self.spec.report_width), np.float32)
        tokens = self.towers.tokenize(reports)
        lengths = np.array([min(length for length in TOKEN_LENGTHS if length >= len(row)) for row in tokens], np.int64)
        for length in np.unique(lengths):
            rows = np.flatnonzero(lengths == length)
            padded = np.zeros((len(rows), length), np.int64)
            mask = np.zeros((len(rows), length), np.int64)
            for i, row in enumerate(rows):
                padded[i, : len(tokens[row])] = tokens[row]
                mask[i, : len(tokens[row])] = 1
            done = 0
            for (batch, count), (batch_mask, _) in zip(_batches(padded, fixed_batch), _batches(mask, fixed_batch)):
                features = self.towers.report_features(
                    torch.from_numpy(batch).to(self.spec.device), torch.from_numpy(batch_mask).to(self.spec.device)
                )
                embeddings[rows[done : done + count]] = features.float().cpu().numpy()[:count]
                done += count
        return embeddings


def _batches(array: np.ndarray, fixed_batch: int | None) -> list[tuple[np.ndarray, int]]:
    """(batch, rows that count): slices of `fixed_batch` rows, the last padded by repeating its first row."""
    if fixed_batch is None:
        return [(array, len(array))] if len(array) else []
    slices = [array[start : start + fixed_batch] for start in range(0, len(array), fixed_batch)]
    return [
        (np.concatenate([part, np.repeat(part[:1], fixed_batch - len(part), axis=0)]), len(part)) for part in slices
    ]
