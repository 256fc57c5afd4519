"""A decoded picture, and the net under every decoder: a picture that shows nothing although its pixels differ."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mcmfh.archive.limits import DecodeError

WINDOW_SHOWS_NOTHING = "window shows nothing"
UNIFORM = "picture is uniform"
_COVERED = 0.999  # of the pixels; the rest are specks and burned-in text
_SAMPLE = 4096
# A sample whose two most frequent levels cover less than this needs no exact count.
_CLEARLY_MORE = 0.99


@dataclass(frozen=True)
class Picture:
    """`pixels`: uint8[H, W] (grey) or uint8[H, W, 3] (RGB), upright. `note`: what had to be done to show them."""

    pixels: np.ndarray
    note: str | None = None


def refuse_uniform(samples: np.ndarray) -> None:
    """Raises DecodeError where all pixels of [H, W] or [H, W, channels] are equal; NaN does not count."""
    pixels = samples.reshape(-1) if samples.ndim == 2 else samples.reshape(-1, samples.shape[-1])
    step = max(len(pixels) // _SAMPLE, 1)
    if (pixels[::step] != pixels[0]).any() and samples.dtype.kind != "f":
        return
    if samples.dtype.kind == "f":
        pixels = pixels[np.isfinite(pixels)]
    if not len(pixels) or (pixels == pixels[0]).all():
        raise DecodeError(UNIFORM)


def with_net(pixels: np.ndarray, stored: np.ndarray, *again: Callable[[], np.ndarray]) -> Picture:
    """`pixels`, or the first of `again` that shows more, where they show nothing of what differs in `stored`.

    They show nothing where they are constant, or where fewer than 3 levels cover 99.9 % of them.
    pixels: uint8 of any shape. stored: the samples behind them, without padding, of any shape and type.
    again: other ways to make the picture, tried only then.
    """
    if not _few_levels(pixels):
        return Picture(pixels)
    shown = _levels(pixels)
    constant = pixels.min() == pixels.max()
    varies = stored.size > 0 and stored.min() < stored.max()
    if not (varies if constant else _levels(stored) > max(shown, 2)):
        return Picture(pixels)
    for make in again:
        other = make()
        if _levels(other) > shown or (constant and other.min() < other.max()):
            return Picture(other, WINDOW_SHOWS_NOTHING)
    return Picture(pixels)


def _few_levels(pixels: np.ndarray) -> bool:
    """Whether a sample leaves it possible that fewer than 3 levels cover nearly all pixels."""
    flat = pixels.reshape(-1)
    counts = np.bincount(flat[:: max(flat.size // _SAMPLE, 1) | 1])
    return bool(np.sort(counts)[-2:].sum() >= _CLEARLY_MORE * counts.sum()) and _levels(pixels) < 3


def _levels(samples: np.ndarray) -> int:
    """How many of the most frequent values cover 99.9 % of the samples."""
    if samples.size and samples.dtype.kind in "iu" and int(samples.max()) - int(samples.min()) < 1 << 16:
        counts = np.bincount(samples.reshape(-1).astype(np.int64) - int(samples.min()))
    else:
        counts = np.unique(samples, return_counts=True)[1]
    if not counts.sum():
        return 0
    covered = np.cumsum(np.sort(counts)[::-1])
    return int(np.searchsorted(covered, _COVERED * covered[-1])) + 1
