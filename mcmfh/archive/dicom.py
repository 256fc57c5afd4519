"""Decodes DICOM bytes into the 8-bit picture that a workstation would show.

Order of the grey-scale pipeline (PS3.4 N.2): modality LUT or rescale → VOI LUT or window (the first of several) →
MONOCHROME1 inversion. The pipeline works on single values, so it runs once for every possible stored value, and the
picture is then one table look-up. A multi-frame object is represented by its middle frame. pydicom and its codecs are
the optional dependency `dicom`.
"""

import logging
import struct
import warnings
import zlib
from collections.abc import Callable
from functools import lru_cache
from io import BytesIO
from types import ModuleType
from typing import Any

import numpy as np

from mcmfh.archive.limits import DecodeError, Limits
from mcmfh.archive.stretch import stretch
from mcmfh.errors import InputError

_DEFLATED = b"1.2.840.10008.1.2.1.99"
_RLE = "1.2.840.10008.1.2.5"


@lru_cache(maxsize=1)
def load_pydicom() -> ModuleType:
    """The pydicom module, silenced, because its warnings and log lines quote patient data.

    Raises InputError where pydicom is not installed.
    """
    try:
        import pydicom
        import pydicom.encaps
        import pydicom.pixels
    except ImportError as error:
        raise InputError("DICOM input needs pydicom; install it with: pip install 'mcmfh[dicom]'") from error
    warnings.filterwarnings("ignore", module=r"pydicom(\..*)?$")
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    return pydicom


def read_dicom(data: bytes, max_bytes: int, pixels: bool = True) -> Any:
    """The pydicom Dataset in `data`; a missing transfer syntax is filled in from its encoding. Raises DecodeError."""
    pydicom = load_pydicom()
    _check_deflated(data, max_bytes)
    try:
        dataset = pydicom.dcmread(BytesIO(data), force=True, stop_before_pixels=not pixels)
        if not getattr(dataset, "file_meta", None):
            dataset.file_meta = pydicom.dataset.FileMetaDataset()
        if "TransferSyntaxUID" not in dataset.file_meta:
            implicit, little = dataset.original_encoding
            syntax = pydicom.uid.ImplicitVRLittleEndian if implicit else pydicom.uid.ExplicitVRLittleEndian
            dataset.file_meta.TransferSyntaxUID = syntax if little else pydicom.uid.ExplicitVRBigEndian
    except Exception:  # a parser of hostile bytes may raise anything
        raise DecodeError("DICOM header cannot be read") from None
    if not len(dataset):
        raise DecodeError("DICOM object is empty")
    return dataset


def decode_dicom(data: bytes, limits: Limits) -> np.ndarray:
    """The picture (uint8[H, W] or uint8[H, W, 3]) in a DICOM object. Raises DecodeError; InputError without pydicom."""
    dataset = read_dicom(data, limits.max_bytes)
    try:
        return _picture(dataset, limits)
    except DecodeError:
        raise
    except Exception:
        raise DecodeError("DICOM pixel data cannot be decoded") from None


def _picture(dataset: Any, limits: Limits) -> np.ndarray:
    if not any(name in dataset for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise DecodeError("DICOM object has no pixel data")
    if limits.refuse_burned_in and dataset.get("BurnedInAnnotation") != "NO":
        raise DecodeError("BurnedInAnnotation is not NO")
    frames = max(int(dataset.get("NumberOfFrames") or 1), 1)
    limits.check(int(dataset.Columns), int(dataset.Rows), frames)
    if int(dataset.get("SamplesPerPixel") or 1) not in (1, 3):
        raise DecodeError("DICOM samples per pixel are neither 1 nor 3")
    _check_frame(dataset, frames // 2, frames, limits)
    stored = load_pydicom().pixels.pixel_array(dataset, index=frames // 2)
    if stored.ndim == 3:
        shift = max(int(dataset.BitsStored) - 8, 0)
        return np.ascontiguousarray((stored >> shift).astype(np.uint8))
    photometric = dataset.get("PhotometricInterpretation")
    if photometric == "PALETTE COLOR":
        return _palette(stored, dataset)
    attribute = _frame_attributes(dataset, frames // 2)
    return _grey(stored, attribute, photometric == "MONOCHROME1")


def _grey(stored: np.ndarray, attribute: Callable[[str], Any], inverted: bool) -> np.ndarray:
    """uint8 result of the grey-scale pipeline; `attribute` returns an attribute of the frame, or None."""
    stored = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    padding = attribute("PixelPaddingValue")
    shown = stored[stored != int(padding)] if padding is not None and stored.dtype.kind in "iu" else stored
    low, high = (shown.min(), shown.max()) if shown.size else (stored.min(), stored.max())
    if stored.dtype.kind in "iu" and int(stored.max()) - int(stored.min()) < 1 << 16:
        values = np.arange(int(stored.min()), int(stored.max()) + 1)
        table = _values_to_grey(values, (values >= low) & (values <= high), attribute)
        from mcmfh.archive.table_look_up import look_up  # imports numba, which reading headers does not need

        grey = look_up(stored, stored.min(), table)
    else:
        grey = _values_to_grey(stored, (stored >= low) & (stored <= high), attribute)
    return 255 - grey if inverted else grey


def _values_to_grey(values: np.ndarray, shown: np.ndarray, attribute: Callable[[str], Any]) -> np.ndarray:
    """uint8 of stored values. Without a window, the range of the values marked `shown` fills the grey scale."""
    if modality := attribute("ModalityLUTSequence"):
        first, table, _bits = _table(modality[0])
        values = _look_up(values, first, table)
    else:
        slope, intercept = _number(attribute("RescaleSlope")), _number(attribute("RescaleIntercept"))
        values = values * (1.0 if slope is None else slope) + (intercept or 0.0)
    if voi := attribute("VOILUTSequence"):
        first, table, bits = _table(voi[0])
        mapped: np.ndarray = np.rint(_look_up(values, first, table) * (255 / ((1 << bits) - 1)))
        return mapped.clip(0, 255).astype(np.uint8)
    centre, width = _number(attribute("WindowCenter")), _number(attribute("WindowWidth"))
    function = str(attribute("VOILUTFunction") or "LINEAR")
    if centre is None or width is None or not width > (0 if function != "LINEAR" else 0.999):
        return stretch(np.clip(values, values[shown].min(), values[shown].max()))
    windowed: np.ndarray = np.rint(255 * _window(values, centre, width, function))
    return windowed.astype(np.uint8)


def _window(values: np.ndarray, centre: float, width: float, function: str) -> np.ndarray:
    """Values in [0, 1] by PS3.3 C.11.2.1.2 (LINEAR) and C.11.2.1.3 (SIGMOID, LINEAR_EXACT)."""
    if function == "SIGMOID":
        sigmoid: np.ndarray = 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700)))
        return sigmoid
    if function == "LINEAR_EXACT":
        return np.clip((values - centre) / width + 0.5, 0, 1)
    if width <= 1:
        return (values > centre - 0.5).astype(float)
    return np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)


def _number(value: Any) -> float | None:
    """The first value of an attribute as a finite number; None where it has none."""
    if value is not None and not isinstance(value, str | bytes | int | float) and hasattr(value, "__len__"):
        value = value[0] if len(value) else None
    number = None if value in (None, "") else float(value)
    return number if number is not None and np.isfinite(number) else None


def _frame_attributes(dataset: Any, index: int) -> Callable[[str], Any]:
    """A function keyword → attribute of frame `index`, or None.

    The frame's own functional groups come first, then the shared ones, then the object's own attributes.
    """
    layers = [dataset]
    for name, position in (("SharedFunctionalGroupsSequence", 0), ("PerFrameFunctionalGroupsSequence", index)):
        groups = dataset.get(name) or []
        for macro in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
            if position < len(groups) and groups[position].get(macro):
                layers.insert(0, groups[position][macro].value[0])

    def attribute(keyword: str) -> Any:
        return next((layer.get(keyword) for layer in layers if layer.get(keyword) not in (None, "")), None)

    return attribute


def _table(item: Any) -> tuple[int, np.ndarray, int]:
    """(first mapped value, entries, bits per entry) of a LUT item, PS3.3 C.11.1.1."""
    entries, first, bits = (int(value) for value in item.LUTDescriptor)
    return first, _entries(item.LUTData, entries or 1 << 16), bits


def _entries(data: Any, count: int) -> np.ndarray:
    if isinstance(data, bytes):  # 8-bit entries may be packed two a word
        return np.frombuffer(data, np.uint8 if len(data) < 2 * count else "<u2")[:count]
    return np.atleast_1d(np.asarray(data))


def _look_up(values: np.ndarray, first: int, table: np.ndarray) -> np.ndarray:
    """Entry of `table` for each value; a value outside its range takes the first or the last entry."""
    entries: np.ndarray = table[np.clip(np.rint(values).astype(np.int64) - first, 0, len(table) - 1)]
    return entries


def _palette(stored: np.ndarray, dataset: Any) -> np.ndarray:
    """uint8[rows, columns, 3] of a PALETTE COLOR frame."""
    if "RedPaletteColorLookupTableData" not in dataset:  # segmented tables
        coloured = load_pydicom().pixels.apply_color_lut(stored, dataset)[..., :3]
        return np.asarray(coloured >> 8 * (coloured.itemsize - 1), np.uint8)
    channels = []
    for colour in ("Red", "Green", "Blue"):
        entries, first, _bits = (int(value) for value in dataset[f"{colour}PaletteColorLookupTableDescriptor"].value)
        table = _entries(dataset[f"{colour}PaletteColorLookupTableData"].value, entries or 1 << 16)
        channels.append((_look_up(stored, first, table) >> (8 * (table.itemsize - 1))).astype(np.uint8))
    return np.stack(channels, axis=-1)


def _check_deflated(data: bytes, max_bytes: int) -> None:
    """Raise DecodeError where a deflated dataset inflates to more than `max_bytes`; pydicom itself has no bound."""
    if data[128:132] != b"DICM" or _DEFLATED not in data[:1024] or data[132:140] != b"\x02\0\0\0UL\x04\0":
        return
    inflate, pending, size = zlib.decompressobj(-15), data[144 + struct.unpack_from("<I", data, 140)[0] :], 0
    try:
        while pending and not inflate.eof:
            size += len(inflate.decompress(pending, 1 << 20))
            pending = inflate.unconsumed_tail
            if size > max_bytes:
                raise DecodeError("file is larger than the limit")
    except zlib.error:
        raise DecodeError("DICOM header cannot be read") from None


def _check_frame(dataset: Any, index: int, frames: int, limits: Limits) -> None:
    """Check the size that a compressed frame's own header states, because codecs allocate by that header."""
    if not dataset.file_meta.TransferSyntaxUID.is_compressed or "PixelData" not in dataset:
        return
    frame = load_pydicom().encaps.get_frame(dataset.PixelData, index, number_of_frames=frames)
    if dataset.file_meta.TransferSyntaxUID == _RLE:
        raw = int(dataset.Rows) * int(dataset.Columns) * int(dataset.SamplesPerPixel) * int(dataset.BitsAllocated) // 8
        if len(frame) > 2 * raw + 4096:  # run-length encoding at most doubles the data
            raise DecodeError("DICOM pixel data cannot be decoded")
    elif size := codestream_size(frame):
        limits.check(*size)


def codestream_size(frame: bytes) -> tuple[int, int] | None:
    """(width, height) that the header of a JPEG, JPEG-LS or JPEG 2000 stream states; None where it has none."""
    start = frame.find(b"\xff\x4f\xff\x51", 0, 4096)
    if start >= 0 and not frame.startswith(b"\xff\xd8"):
        right, bottom, left, top = struct.unpack_from(">4I", frame, start + 8)
        return right - left, bottom - top
    offset = 2
    while frame.startswith(b"\xff\xd8") and offset + 9 <= len(frame):
        if frame[offset] != 0xFF:
            return None
        marker, length = frame[offset + 1], struct.unpack_from(">H", frame, offset + 2)[0]
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            height, width = struct.unpack_from(">HH", frame, offset + 5)
            return width, height
        offset += 1 if marker == 0xFF else 2 + length
    return None
