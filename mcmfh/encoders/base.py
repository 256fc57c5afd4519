"""The class of all encoders: two frozen towers, a preprocessing, and a digest that changes when an embedding could.

Shapes: B batch · S image side · L tokens · D_I, D_T embedding widths (they may differ; hash heads take any width).

The shape of a batch changes the last bits of its embeddings, because matrix kernels are chosen by shape. Where codes
must be byte-identical whatever the order of items and the number of workers, every batch is therefore padded to one
fixed shape: `fixed_batch`.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch

from mcmfh.encoders.spec import EncoderSpec

TOKEN_LENGTHS = (32, 64, 128, 256)


class Towers(Protocol):
    """The two networks of an encoder, on one device."""

    def image_features(self, pixels_BHW3: torch.Tensor) -> torch.Tensor: ...
    def tokenize(self, reports: Sequence[str]) -> list[list[int]]: ...
    def report_features(self, tokens_BL: torch.Tensor, mask_BL: torch.Tensor) -> torch.Tensor: ...


class Words(Protocol):
    """What is said of a report by its words alone, beside what the report tower says of it."""

    @property
    def width(self) -> int: ...
    def vectors(self, reports: Sequence[str]) -> np.ndarray: ...


class Encoder:
    """Encodes images and reports by any pair of towers."""

    def __init__(self, spec: EncoderSpec, towers: Towers, words: Words | None = None):
        self.spec = spec
        self.towers = towers
        self.words = words
        if spec.device == "cuda":
            # By default convolutions round to 10 bits there. A CPU must give equal codes to the canary.
            torch.backends.cudnn.allow_tf32 = False

    @torch.inference_mode()
    def encode_images(self, pixels_BHW3: np.ndarray, fixed_batch: int | None = None) -> np.ndarray:
        """float32[B, D_I] of preprocessed pictures uint8[B, S, S, 3]. `fixed_batch`: rows a batch; None: one batch."""
        with self._precision():
            parts = [
                self.towers.image_features(torch.from_numpy(batch).to(self.spec.device)).float().cpu().numpy()[:rows]
                for batch, rows in _batches(pixels_BHW3, fixed_batch)
            ]
        return np.concatenate(parts) if parts else np.empty((0, self.spec.image_width), np.float32)

    @torch.inference_mode()
    def encode_reports(self, reports: Sequence[str], fixed_batch: int | None = None) -> np.ndarray:
        """float32[B, D_T] of texts. Each text is padded to the least of TOKEN_LENGTHS that holds its tokens.

        A fixed batch has `fixed_batch` rows of the least length and proportionally fewer of a greater one, so that the
        padding of each length's last batch stays small compared with a unit of an archive.
        """
        by_words = self.words.width if self.words else 0
        embeddings = np.empty((len(reports), self.spec.report_width - by_words), np.float32)
        tokens = self.towers.tokenize(reports)
        lengths = np.array([min(length for length in TOKEN_LENGTHS if length >= len(row)) for row in tokens], np.int64)
        for length in np.unique(lengths):
            rows = np.flatnonzero(lengths == length)
            padded = np.zeros((len(rows), length), np.int64)
            mask = np.zeros((len(rows), length), np.int64)
            for i, row in enumerate(rows):
                padded[i, : len(tokens[row])] = tokens[row]
                mask[i, : len(tokens[row])] = 1
            done, size = 0, fixed_batch and max(1, fixed_batch * TOKEN_LENGTHS[0] // int(length))
            for (batch, count), (batch_mask, _) in zip(_batches(padded, size), _batches(mask, size)):
                with self._precision():
                    features = self.towers.report_features(
                        torch.from_numpy(batch).to(self.spec.device), torch.from_numpy(batch_mask).to(self.spec.device)
                    )
                embeddings[rows[done : done + count]] = features.float().cpu().numpy()[:count]
                done += count
        return np.concatenate([embeddings, self.words.vectors(reports)], 1) if self.words else embeddings

    def _precision(self) -> torch.autocast:
        """With bfloat16, products of matrices round to 8 bits; weights, sums and what is sensitive stay float32."""
        return torch.autocast(self.spec.device, torch.bfloat16, enabled=self.spec.dtype == "bfloat16")


def _batches(array: np.ndarray, fixed_batch: int | None) -> Iterator[tuple[np.ndarray, int]]:
    """(batch of `fixed_batch` rows, number of real rows); the last batch is padded by repeating its first row."""
    size = fixed_batch or max(len(array), 1)
    for start in range(0, len(array), size):
        part = array[start : start + size]
        missing = size - len(part) if fixed_batch else 0
        yield np.concatenate([part, np.repeat(part[:1], missing, axis=0)]), len(part)
