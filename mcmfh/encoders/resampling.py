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
    if pixels.ndim == 3 and _is_grey(pixels.reshape(len(pixels), -1), _within(pixels.shape[1])):
        pixels = pixels[..., 0]
    planes = [pixels] if pixels.ndim == 2 else [pixels[..., channel] for channel in range(3)]
    resampled = []
    for plane in planes:
        turned = _resample_rows(_turn(plane), *_windows(plane.shape[1], width))
        resampled.append(_resample_rows(_turn(turned), *_windows(plane.shape[0], height)))
    return _interleave(*(resampled * 3)[:3])


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


@lru_cache(maxsize=512)
def _within(width: int) -> np.ndarray:
    return np.tile(np.array([255, 255, 0], np.uint8), width)[:-1].copy()


@njit(nogil=True, cache=True)
def _is_grey(pixels, within):
    """Whether each byte of uint8[H, 3 W] equals the one after it in its pixel; `within` is 255 where that is so."""
    for row in range(pixels.shape[0]):
        differs = np.uint8(0)
        for place in range(len(within)):
            differs |= (pixels[row, place] ^ pixels[row, place + 1]) & within[place]
        if differs:
            return False
    return True


@njit(nogil=True, cache=True)
def _turn(plane):
    """The transpose of uint8[H, W], whatever its strides, contiguous; tile by tile for the sake of the caches."""
    height, width = plane.shape
    turned = np.empty((width, height), np.uint8)
    for top in range(0, height, 64):
        for left in range(0, width, 64):
            for column in range(left, min(left + 64, width)):
                for row in range(top, min(top + 64, height)):
                    turned[column, row] = plane[row, column]
    return turned


@njit(nogil=True, cache=True)
def _resample_rows(plane, first, count, coefficients):
    """uint8[R, C] → uint8[target, C]: every row a weighted sum of `count` rows from `first` on."""
    width = plane.shape[1]
    result = np.empty((len(first), width), np.uint8)
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
