"""Resizes a picture to a square. Uses numpy, numba and Pillow only, so that decoding workers never import torch."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

BICUBIC = "bicubic"


@dataclass(frozen=True)
class ImagePreprocessing:
    """Resizes to size × size. Part of the encoder's digest.

    fit: "squash" resizes both sides and changes the proportions. "crop" resizes the shorter side and cuts out the
    centre, as CLIP models were trained. "pad" resizes the longer side and pads with black.
    kernel: "bicubic" | "bilinear", over all source pixels that a target pixel covers.
    """

    size: int = 224
    fit: str = "squash"
    kernel: str = BICUBIC

    def __call__(self, image: np.ndarray | Image.Image) -> np.ndarray:
        """uint8[size, size, 3] of a picture from `decode_image` or a Pillow image of any mode."""
        from mcmfh.encoders.resampling import resize  # imports numba, which a driver does not need

        size = self.size
        pixels = as_pixels(image)
        if self.fit == "squash":
            return resize(pixels, size, size, self.kernel)
        height, width = pixels.shape[:2]
        side = min(width, height) if self.fit == "crop" else max(width, height)
        # Sizes are floored and offsets rounded half to even, which equals CLIP's own transform to the pixel.
        resized = (max(1, size * width // side), max(1, size * height // side))
        left, top = round((resized[0] - size) / 2), round((resized[1] - size) / 2)
        whole = resize(pixels, *resized, self.kernel)
        square = np.zeros((size, size, 3), np.uint8)
        part = whole[max(top, 0) : max(top, 0) + size, max(left, 0) : max(left, 0) + size]
        square[max(-top, 0) : max(-top, 0) + part.shape[0], max(-left, 0) : max(-left, 0) + part.shape[1]] = part
        return square


def as_pixels(image: np.ndarray | Image.Image) -> np.ndarray:
    """uint8[H, W] or uint8[H, W, 3] of a picture."""
    if isinstance(image, Image.Image):
        return np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB"))
    return image
