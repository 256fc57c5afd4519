"""TIFF files whose samples are not plain bytes: signed, deep or floating point, which Pillow misreads or refuses."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from mcmfh.archive.limits import DecodeError, Limits
from mcmfh.archive.picture import refuse_uniform, with_net
from mcmfh.archive.stretch import stretch

_BITS_A_SAMPLE, _PHOTOMETRIC, _ORIENTATION, _SAMPLE_FORMAT = 258, 262, 274, 339
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
_UNSIGNED = 1
# Orientation → (transposed, then turned upside down, then mirrored).
_TURNS = {
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


def is_deep(tags: Mapping[int, Any]) -> bool:
    """Whether the samples, by a TIFF's tags, are more or other than unsigned integers of up to eight bits."""
    bits, formats = _numbers(tags.get(_BITS_A_SAMPLE, 1)), _numbers(tags.get(_SAMPLE_FORMAT, _UNSIGNED))
    deep = any(bit not in (1, 2, 4, 8) for bit in bits) or any(one != _UNSIGNED for one in formats)
    return deep and tags.get(_PHOTOMETRIC) in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB)


def decode_deep_tiff(data: bytes, limits: Limits) -> np.ndarray:
    """uint8[H, W] of the first page, stretched from its least to its greatest value, or uint8[H, W, 3] of the highest
    eight bits of its colours. Raises DecodeError where all pixels are equal, and whatever tifffile does."""
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0].aspage()
        limits.check(page.imagewidth, page.imagelength, size=len(data))
        if page.imagedepth != 1 or page.samplesperpixel > 4:
            raise DecodeError("TIFF is neither grey nor RGB")
        samples = page.asarray(maxworkers=1)
        planar = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and page.samplesperpixel > 1
        photometric, orientation = int(page.photometric), int(page.tags.valueof(_ORIENTATION, 1))
    if planar:
        samples = np.moveaxis(samples, 0, -1)
    if samples.ndim == 3:
        samples = samples[..., :3] if photometric == _RGB and samples.shape[-1] >= 3 else samples[..., 0]
    refuse_uniform(samples)
    pixels = _colours(samples) if samples.ndim == 3 else stretch(samples)
    return _turned(255 - pixels if photometric == _WHITE_IS_ZERO else pixels, orientation)


def _colours(samples: np.ndarray) -> np.ndarray:
    if samples.dtype.kind != "u":
        return stretch(samples)
    highest = (samples >> 8 * (samples.itemsize - 1)).astype(np.uint8)
    return with_net(highest, samples, lambda: stretch(samples)).pixels


def _turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    transposed, upside_down, mirrored = _TURNS.get(orientation, (False, False, False))
    if transposed:
        pixels = pixels.swapaxes(0, 1)
    return np.ascontiguousarray(pixels[:: -1 if upside_down else 1, :: -1 if mirrored else 1])


def _numbers(value: Any) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, tuple) else (int(value),)
