"""Resizing is Pillow's to the bit: the width first, then the height, whatever the shape, mode and contents."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mcmfh.encoders.preprocessing import ImagePreprocessing, as_pixels
from mcmfh.encoders.resampling import resize

SIDES = st.integers(1, 300)


KERNELS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


def with_pillow(image: Image.Image, width: int, height: int, kernel: str = "bicubic") -> np.ndarray:
    """One pass at a time: Pillow 13 takes the height first for some shapes."""
    image = image.convert("RGB").resize((width, image.height), KERNELS[kernel])
    return np.asarray(image.resize((width, height), KERNELS[kernel]))


MODES = st.sampled_from(["L", "RGB", "grey RGB", "1", "CMYK"])


@settings(max_examples=60, deadline=None)
@given(SIDES, SIDES, SIDES, SIDES, MODES, st.sampled_from(list(KERNELS)), st.booleans(), st.integers())
def test_any_shape(height, width, new_height, new_width, mode, kernel, extreme, seed):
    rng = np.random.default_rng(abs(seed))
    pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
    pixels = np.where(pixels > 127, 255, 0).astype(np.uint8) if extreme else pixels  # overshoots are cut off
    image = Image.fromarray(pixels)
    image = image.convert("L").convert("RGB") if mode == "grey RGB" else image.convert(mode)
    expected = with_pillow(image, new_width, new_height, kernel)
    assert np.array_equal(resize(as_pixels(image), new_width, new_height, kernel), expected)


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
@pytest.mark.parametrize("shape", [(90, 301), (301, 90), (224, 224), (64, 64), (1, 50)])
def test_fits_cut_and_fill_as_pasting_does(fit, shape):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8))
    height, width = shape
    side = {"squash": None, "crop": min(shape), "pad": max(shape)}[fit]
    size = (max(1, 224 * width // side), max(1, 224 * height // side)) if side else (224, 224)
    square = Image.new("RGB", (224, 224))
    square.paste(Image.fromarray(with_pillow(image, *size)), (-round((size[0] - 224) / 2), -round((size[1] - 224) / 2)))
    assert np.array_equal(ImagePreprocessing(fit=fit)(image), np.asarray(square))
