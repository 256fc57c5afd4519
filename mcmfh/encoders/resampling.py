"""Pillow's bicubic resampling, bit for bit, several times as fast: resizing would cost twice what decoding does.

The arithmetic is that of Pillow's Resample.c: per output pixel a window of coefficients, normalised and rounded to 22
bits after the point; first along the width, then along the height (Pillow 13 swaps the two for some shapes, which is
not followed), with 8 bits in between. Both passes run over rows, whose columns are independent and go through the wide
registers together; for the width the picture is turned on its side. A picture of three equal channels, as most
radiographs in JPEG are, is resampled once.
"""

from functools import lru_cache

import numpy as np
from numba import njit

_BITS = 22


def resize_bicubic(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """uint8[height, width, 3] of uint8[H, W] or uint8[H, W, 3]: bicubic along the width, then along the height."""
    pixels = np.ascontiguousarray(pixels).view()
    pixels.flags.writeable = False  # numba compiles once, not anew for what may be written
    rows, columns = pixels.shape[:2]
    planes = [pixels[..., channel] for channel in range(3)] if pixels.ndim == 3 else [pixels]
    if pixels.ndim == 3:
        grey = np.empty((rows, _apart(columns)), np.uint8)
        planes = [grey[:, :columns]] if _take_grey(pixels.reshape(rows, -1), grey) else planes
    resampled = []
    for plane in planes:
        turned = _resample_rows(np.ascontiguousarray(plane.T), *_windows(columns, width), _apart(rows))
        upright = np.ascontiguousarray(turned[:, :rows].T)
        resampled.append(_resample_rows(upright, *_windows(rows, height), width))
    return _interleave(*(resampled * 3)[:3])


def _apart(columns: int) -> int:
    """Bytes from row to row that let a transpose read down a column without every read meeting the same cache lines."""
    return -(-columns // 64) * 64 + 16


@lru_cache(maxsize=512)
def _windows(source: int, target: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(first source pixel, number of them, int32 coefficients[target, ·]) of every target pixel."""
    scale = source / target
    support = 2.0 * max(scale, 1.0)
    centre = (np.arange(target) + 0.5) * scale
    first = np.maximum((centre - support + 0.5).astype(np.int64), 0)
    count = np.minimum((centre + support + 0.5).astype(np.int64), source) - first
    place = np.arange(count.max())
    distance = np.abs((first[:, None] + place - centre[:, None] + 0.5) * (1.0 / max(scale, 1.0)))
    near = (1.5 * distance - 2.5) * distance * distance + 1
    far = (((distance - 5) * distance + 8) * distance - 4) * -0.5
    weight = np.where(distance < 1, near, np.where(distance < 2, far, 0.0))
    weight[place >= count[:, None]] = 0
    # Summed one after the other, as Pillow does; numpy's own sum adds in pairs.
    scaled = weight / np.add.accumulate(weight, axis=1)[:, -1:] * (1 << _BITS)
    return first, count, np.trunc(scaled + np.where(weight < 0, -0.5, 0.5)).astype(np.int32)


@njit(nogil=True, cache=True)
def _take_grey(pixels, grey):
    """Fill uint8[H, ≥ W] with the first channel of uint8[H, 3 W], row by row as long as all three are equal; if so."""
    for row in range(len(pixels)):
        line, taken, differs = pixels[row], grey[row], np.uint8(0)
        for place in range(len(line) // 3):
            first = line[3 * place]
            differs |= (first ^ line[3 * place + 1]) | (first ^ line[3 * place + 2])
            taken[place] = first
        if differs:
            return False
    return True


@njit(nogil=True, cache=True)
def _resample_rows(plane, first, count, coefficients, stride):
    """uint8[R, C] → uint8[target, stride ≥ C]: every row a weighted sum of `count` rows from `first` on."""
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
def _interleave(red, green, blue):
    """Three planes uint8[H, W] → uint8[H, W, 3]."""
    result = np.empty((*red.shape, 3), np.uint8)
    for row in range(red.shape[0]):
        for column in range(red.shape[1]):
            result[row, column, 0] = red[row, column]
            result[row, column, 1] = green[row, column]
            result[row, column, 2] = blue[row, column]
    return result
