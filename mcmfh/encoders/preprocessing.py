"""Picture → square of pixels, on the CPU workers: numpy, numba and Pillow, so that decoding never imports torch."""

from dataclasses import dataclass

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class ImagePreprocessing:
    """Resize bicubically, then cut or pad to size × size; part of the encoder's digest.

    fit: "squash" keeps every pixel of the picture and gives up its proportions, "crop" resizes the shorter side and
    cuts the centre (what CLIP models were trained with), "pad" resizes the longer side and fills up with black.
    """

    size: int = 224
    fit: str = "squash"

    def __call__(self, image: np.ndarray | Image.Image) -> np.ndarray:
        """uint8[size, size, 3] of a picture from `decode_image` or a Pillow image of any mode."""
        from mcmfh.encoders.resampling import resize_bicubic  # brings numba, which a driver that only plans can spare

        size = self.size
        pixels = as_pixels(image)
        if self.fit == "squash":
            return resize_bicubic(pixels, size, size)
        height, width = pixels.shape[:2]
        side = min(width, height) if self.fit == "crop" else max(width, height)
        # Cut down, and the offset rounded to even: to the pixel what CLIP's own transform does.
        resized = (max(1, size * width // side), max(1, size * height // side))
        left, top = round((resized[0] - size) / 2), round((resized[1] - size) / 2)
        whole = resize_bicubic(pixels, *resized)
        square = np.zeros((size, size, 3), np.uint8)
        part = whole[max(top, 0) : max(top, 0) + size, max(left, 0) : max(left, 0) + size]
        square[max(-top, 0) : max(-top, 0) + part.shape[0], max(-left, 0) : max(-left, 0) + part.shape[1]] = part
        return square


def as_pixels(image: np.ndarray | Image.Image) -> np.ndarray:
    """uint8[H, W] or uint8[H, W, 3] of a picture."""
    if isinstance(image, Image.Image):
        return np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB"))
    return image
