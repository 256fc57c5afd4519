"""Pillow's bicubic and bilinear resampling, equal to the bit and several times as fast.

Resizing by Pillow takes twice as long as decoding.

The arithmetic is that of Pillow's Resample.c. Every output pixel has a window of coefficients, normalised and rounded
to 22 bits after the binary point. The first pass runs along the width, the second along the height, with 8 bits in
between. (Pillow 13 swaps the passes for some shapes; this code does not.) Both passes combine whole rows, so that the
compiler vectorises over columns; for the first pass the picture is transposed. A picture with three equal channels, as
most radiographs in JPEG, is resampled once.
"""

from functools import lru_cache

import numpy as np
from numba import njit

_BITS = 22


def resize(pixels: np.ndarray, width: int, height: int, kernel: str = "bicubic") -> np.ndarray:
    """uint8[height, width, 3] of uint8[H, W] or uint8[H, W, 3]: along the width, then along the height.

    kernel: "bicubic" | "bilinear".
    """
    pixels = np.ascontiguousarray(pixels).view()
    pixels.flags.writeable = False  # numba would compile a second version for writable arrays
    rows, columns = pixels.shape[:2]
    planes = [pixels[..., channel] for channel in range(3)] if pixels.ndim == 3 else [pixels]
    if pixels.ndim == 3:
        grey = np.empty((rows, _padded(columns)), np.uint8)
        planes = [grey[:, :columns]] if _copy_grey(pixels.reshape(rows, -1), grey) else planes
    resampled = []
    for plane in planes:
        turned = _resample_rows(np.ascontiguousarray(plane.T), *_windows(columns, width, kernel), _padded(rows))
        upright = np.ascontiguousarray(turned[:, :rows].T)
        resampled.append(_resample_rows(upright, *_windows(rows, height, kernel), width))
    result: np.ndarray = _interleave(*(resampled * 3)[:3])
    return result


def _padded(columns: int) -> int:
    """Row stride in bytes at which reading down a column, as a transpose does, does not always hit one cache set."""
    return -(-columns // 64) * 64 + 16


@lru_cache(maxsize=512)
def _windows(source: int, target: int, kernel: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(first source pixel [target], number of source pixels [target], int32 coefficients [target, ·])."""
    scale = source / target
    support = (2.0 if kernel == "bicubic" else 1.0) * max(scale, 1.0)
    centre = (np.arange(target) + 0.5) * scale
    first = np.maximum((centre - support + 0.5).astype(np.int64), 0)
    count = np.minimum((centre + support + 0.5).astype(np.int64), source) - first
    tap = np.arange(count.max())
    distance = np.abs((first[:, None] + tap - centre[:, None] + 0.5) * (1.0 / max(scale, 1.0)))
    if kernel == "bicubic":
        near = (1.5 * distance - 2.5) * distance * distance + 1
        far = (((distance - 5) * distance + 8) * distance - 4) * -0.5
        weight = np.where(distance < 1, near, np.where(distance < 2, far, 0.0))
    else:
        weight = np.maximum(1 - distance, 0.0)
    weight[tap >= count[:, None]] = 0
    # Pillow sums the weights one after the other; numpy's `sum` adds pairwise and rounds differently.
    scaled = weight / np.add.accumulate(weight, axis=1)[:, -1:] * (1 << _BITS)
    return first, count, np.trunc(scaled + np.where(weight < 0, -0.5, 0.5)).astype(np.int32)


@njit(nogil=True, cache=True)
def _copy_grey(pixels: np.ndarray, grey: np.ndarray) -> bool:
    """Whether the three channels of pixels uint8[H, 3 W] are equal; if so, `grey` uint8[H, ≥ W] is filled with one."""
    for row in range(len(pixels)):
        line, copy, differs = pixels[row], grey[row], np.uint8(0)
        for column in range(len(line) // 3):
            first = line[3 * column]
            differs |= (first ^ line[3 * column + 1]) | (first ^ line[3 * column + 2])
            copy[column] = first
        if differs:
            return False
    return True


@njit(nogil=True, cache=True)
def _resample_rows(
    plane: np.ndarray, first: np.ndarray, count: np.ndarray, coefficients: np.ndarray, stride: int
) -> np.ndarray:
    """uint8[target, stride ≥ C] of uint8[R, C]: each row is a weighted sum of `count` source rows from `first` on."""
    width = plane.shape[1]
    result = np.empty((len(first), stride), np.uint8)
    total = np.empty(width, np.int32)
    for row in range(len(first)):
        total[:] = 1 << (_BITS - 1)
        for tap in range(count[row]):
            weight, source = coefficients[row, tap], plane[first[row] + tap]
            for column in range(width):
                total[column] += weight * np.int32(source[column])
        for column in range(width):
            result[row, column] = min(max(total[column] >> _BITS, 0), 255)
    return result


@njit(nogil=True, cache=True)
def _interleave(red: np.ndarray, green: np.ndarray, blue: np.ndarray) -> np.ndarray:
    """uint8[H, W, 3] of three planes uint8[H, W]."""
    result = np.empty((*red.shape, 3), np.uint8)
    for row in range(red.shape[0]):
        for column in range(red.shape[1]):
            result[row, column, 0] = red[row, column]
            result[row, column, 1] = green[row, column]
            result[row, column, 2] = blue[row, column]
    return result
