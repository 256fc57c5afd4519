"""The grey-scale pipeline of DICOM (PS3.4 N.2): stored values → the 8 bits that a workstation would show.

Modality LUT or rescale → VOI LUT or window, the first usable one → inversion. Every step is pointwise, so it runs over
the distinct stored values, and the picture is one table look-up. Without a window, or where the window shows nothing,
the range of the values outside the padding fills the grey scale.
"""

from collections.abc import Callable

import numpy as np

from mcmfh.archive.dicom_attributes import Attributes
from mcmfh.archive.dicom_stored import Layout
from mcmfh.archive.dicom_tables import read_table
from mcmfh.archive.picture import Picture, refuse_uniform, with_net
from mcmfh.archive.stretch import stretch

# X-ray angiography and fluoroscopy: their modality transformation is for measuring, and their window is in stored
# values (PS3.3 C.8.7.1.1.2; DCMTK ignores it too).
_WINDOW_OF_STORED_VALUES = tuple(f"1.2.840.10008.5.1.4.1.1.12.{number}" for number in (1, 2, 3))
_SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")

Transform = Callable[[np.ndarray], np.ndarray]


def is_mask(attributes: Attributes, layout: Layout) -> bool:
    """Whether the values are labels and not brightness: single bits, segmentations and label maps."""
    segmentation = attributes.text("SOPClassUID") in _SEGMENTATIONS or bool(attributes.text("SegmentationType"))
    return layout.stored == 1 or segmentation


def mask_picture(stored: np.ndarray, attributes: Attributes, layout: Layout) -> Picture:
    """A mask as it is: 0 is black, and the greatest value that it can have, or of a label map has, is white."""
    greatest = max(int(stored.max()), 1)
    if attributes.text("SegmentationType") == "FRACTIONAL":
        greatest = max(attributes.integer("MaximumFractionalValue", 255), greatest)
    grey = _pointwise(stored, lambda values: np.rint(values.clip(0) * (255 / greatest)).astype(np.uint8))
    return Picture(255 - grey if is_inverted(attributes, layout) else grey)


def grey_picture(stored: np.ndarray, attributes: Attributes, layout: Layout) -> Picture:
    """The picture of stored values [rows, columns]. Raises DecodeError where all of them are equal."""
    refuse_uniform(stored)
    shown = _outside_padding(stored, attributes, layout)
    low, high = shown.min(), shown.max()
    rescale, display = modality(attributes), voi(attributes)

    def picture(change: Transform, show: Transform | None) -> np.ndarray:
        def grey(values: np.ndarray) -> np.ndarray:
            changed = change(values)
            if show is not None:
                return show(changed)
            inside = changed[(values >= low) & (values <= high)]
            return stretch(np.clip(changed, np.nanmin(inside), np.nanmax(inside)))

        pixels = _pointwise(stored, grey)
        return 255 - pixels if is_inverted(attributes, layout) else pixels

    pixels = picture(rescale, display)
    if display is None and rescale is _unchanged:
        return Picture(pixels)
    return with_net(pixels, shown, lambda: picture(rescale, None), lambda: picture(_unchanged, None))


def modality(attributes: Attributes) -> Transform:
    """Stored values → the values that a window is in, by the modality LUT or the rescale (PS3.3 C.11.1)."""
    if attributes.text("SOPClassUID") in _WINDOW_OF_STORED_VALUES:
        return _unchanged
    for item in attributes.items("ModalityLUTSequence"):
        if table := read_table(item):
            return table.look_up
    # A slope of 0 has no meaning.
    slope, intercept = attributes.number("RescaleSlope") or 1.0, attributes.number("RescaleIntercept") or 0.0
    if (slope, intercept) == (1.0, 0.0):
        return _unchanged
    return lambda values: values * slope + intercept


def voi(attributes: Attributes) -> Transform | None:
    """Values → uint8 by the first usable VOI LUT or window (PS3.3 C.11.2); None without one."""
    for item in attributes.items("VOILUTSequence"):
        if table := read_table(item):
            white = 255 / ((1 << table.used_bits) - 1)
            return lambda values: np.rint(table.look_up(values) * white).clip(0, 255).astype(np.uint8)
    function = attributes.text("VOILUTFunction") or "LINEAR"
    least = 0 if function in ("LINEAR_EXACT", "SIGMOID") else 0.999
    for centre, width in zip(attributes.numbers("WindowCenter"), attributes.numbers("WindowWidth")):
        if width > least:
            return lambda values: np.rint(255 * np.nan_to_num(window(values, centre, width, function))).astype(np.uint8)
    return None


def window(values: np.ndarray, centre: float, width: float, function: str) -> np.ndarray:
    """Values in [0, 1] by PS3.3 C.11.2.1.2 (LINEAR) and C.11.2.1.3 (SIGMOID, LINEAR_EXACT)."""
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700)))
    if function == "LINEAR_EXACT":
        return np.clip((values - centre) / width + 0.5, 0, 1)
    if width <= 1:
        return (values > centre - 0.5).astype(float)
    return np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)


def is_inverted(attributes: Attributes, layout: Layout) -> bool:
    """Whether the least value is white. The presentation LUT shape decides where there is one (PS3.3 C.11.6)."""
    shape = attributes.text("PresentationLUTShape")
    return shape == "INVERSE" if shape in ("INVERSE", "IDENTITY") else layout.photometric == "MONOCHROME1"


def _unchanged(values: np.ndarray) -> np.ndarray:
    return values


def _pointwise(stored: np.ndarray, grey: Transform) -> np.ndarray:
    """grey(stored), by a table of the values from the least to the greatest where that is shorter."""
    if stored.dtype.kind == "f" or int(stored.max()) - int(stored.min()) >= 1 << 16:
        return grey(stored)
    from mcmfh.archive.table_look_up import look_up  # imports numba, which reading headers does not need

    return look_up(stored, stored.min(), grey(np.arange(int(stored.min()), int(stored.max()) + 1)))


def _outside_padding(stored: np.ndarray, attributes: Attributes, layout: Layout) -> np.ndarray:
    """The finite values outside the padding (PS3.3 C.7.5.1.1.2); all of them where fewer than two differ without it."""
    kind = {"FloatPixelData": "Float", "DoubleFloatPixelData": "DoubleFloat"}.get(layout.keyword, "")
    limits = [attributes.number(f"{kind}PixelPadding{name}") for name in ("Value", "RangeLimit")]
    everything = stored[np.isfinite(stored)] if stored.dtype.kind == "f" else stored
    if limits[0] is None:
        return everything
    ends = [limit if kind else _as_stored(int(limit), layout) for limit in limits if limit is not None]
    within = (everything >= min(ends)) & (everything <= max(ends)) if len(ends) > 1 else everything == ends[0]
    shown = everything[~within]
    return shown if shown.size and shown.min() < shown.max() else everything


def _as_stored(value: int, layout: Layout) -> int:
    """A padding value with the sign of the pixels: some devices write it unsigned where pixels have one."""
    for bits in (layout.allocated, layout.stored):
        least = -(1 << bits - 1) if layout.signed else 0
        value = (value - least) % (1 << bits) + least
    return value
