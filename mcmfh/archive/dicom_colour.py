"""The picture of a DICOM frame in colour: RGB, YBR and palettes."""

from typing import Any

import numpy as np

from mcmfh.archive.dicom_stored import Layout
from mcmfh.archive.dicom_tables import palette
from mcmfh.archive.picture import Picture, refuse_uniform, with_net
from mcmfh.archive.stretch import stretch


def colour_picture(stored: np.ndarray, layout: Layout) -> Picture:
    """The highest eight bits of stored values [rows, columns, 3], or their range where those show nothing."""
    refuse_uniform(stored)
    if layout.stored == 8:
        picture = Picture(np.ascontiguousarray(stored.astype(np.uint8, copy=False)))
    elif layout.stored < 8:
        picture = Picture((stored.astype(np.uint16) * 255 // ((1 << layout.stored) - 1)).astype(np.uint8))
    else:
        highest = (stored >> (layout.stored - 8)).astype(np.uint8)
        picture = with_net(highest, stored, lambda: stretch(stored))
    if layout.photometric in ("YBR_FULL", "YBR_FULL_422"):  # pydicom converts eight bits alone
        from pydicom.pixels.processing import convert_color_space

        return Picture(convert_color_space(picture.pixels, "YBR_FULL", "RGB"), picture.note)
    return picture


def palette_picture(stored: np.ndarray, dataset: Any, mask: bool) -> Picture:
    """The colours of stored values [rows, columns], or their range in grey where the palette shows nothing."""
    if mask:
        return Picture(palette(stored, dataset))
    refuse_uniform(stored)
    return with_net(palette(stored, dataset), stored, lambda: np.stack([stretch(stored)] * 3, axis=-1))
