"""TIFF files whose samples are not plain bytes: signed, deep or floating point, which Pillow misreads or refuses."""

import io
import logging
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np

from mcmfh.archive.limits import DecodeError, Limits
from mcmfh.archive.memory import MemoryBudget
from mcmfh.archive.picture import refuse_uniform, with_net
from mcmfh.archive.stretch import stretch

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ORIENTATION = 274
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
_UNSIGNED = 1
_SEPARATE = 2  # planar configuration
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


def decode_deep_tiff(data: bytes, limits: Limits, budget: MemoryBudget) -> np.ndarray | None:
    """uint8[H, W] of the first page, stretched from its least to its greatest value, or uint8[H, W, 3] of the highest
    eight bits of its colours. None of what is no such TIFF. Raises DecodeError, also where all pixels are equal."""
    if data[:4] not in _MAGIC:
        return None
    try:
        file = _tifffile().TiffFile(io.BytesIO(data))
        page = file.pages.first
        deep = _is_deep(page)
    except Exception:  # whatever is wrong with the header, Pillow says it
        return None
    if not deep:
        return None
    limits.check(page.imagewidth, page.imagelength, size=len(data))
    if page.imagedepth != 1 or page.samplesperpixel > 4:
        raise DecodeError("TIFF is neither grey nor RGB")
    if page.tilewidth * page.tilelength > max(limits.max_pixels, 1 << 20):
        raise DecodeError("image has more pixels than the limit")
    if _has_page(file, limits.max_frames):
        raise DecodeError("image has more frames than the limit")
    samples = page.imagewidth * page.imagelength * page.samplesperpixel
    estimate = samples * (2 * page.dtype.itemsize + 10)
    limits.check_memory(estimate)
    try:
        with budget.reserve(estimate):
            return _picture(page)
    except DecodeError:
        raise
    except Exception:
        raise DecodeError("image data is corrupt") from None


@lru_cache(maxsize=1)
def _tifffile() -> ModuleType:
    """tifffile, kept quiet: its log lines quote tags, that is patient data."""
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    return tifffile


def _is_deep(page: Any) -> bool:
    """Whether samples of a page are grey or RGB and not unsigned integers of up to eight bits."""
    bits, formats = _numbers(page.bitspersample), _numbers(page.sampleformat)
    deep = any(bit not in (1, 2, 4, 8) for bit in bits) or any(one != _UNSIGNED for one in formats)
    return deep and int(page.photometric) in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB)


def _has_page(file: Any, number: int) -> bool:
    try:
        file.pages.get(number)
    except Exception:
        return False
    return True


def _picture(page: Any) -> np.ndarray:
    samples, photometric = page.asarray(maxworkers=1), int(page.photometric)
    if page.planarconfig == _SEPARATE and page.samplesperpixel > 1:
        samples = np.moveaxis(samples, 0, -1)
    if samples.ndim == 3:
        samples = samples[..., :3] if photometric == _RGB and samples.shape[-1] >= 3 else samples[..., 0]
    refuse_uniform(samples)
    pixels = _colours(samples) if samples.ndim == 3 else stretch(samples)
    turn = int(page.tags.valueof(_ORIENTATION, 1))
    return _turned(255 - pixels if photometric == _WHITE_IS_ZERO else pixels, turn)


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
