"""The stored values of one frame of a DICOM object.

Where attributes contradict each other, the bytes decide: the length of native pixel data, the header of a compressed
frame, the bits that are set in the pixels. pydicom does the decoding; it is told the outcome and asked nothing else.
"""

import math
import zlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mcmfh.archive.codestream import Codestream, read_codestream, with_whole_spectrum
from mcmfh.archive.dicom_attributes import Attributes
from mcmfh.archive.limits import DecodeError, Limits

RLE = "1.2.840.10008.1.2.5"
_EXPLICIT = "1.2.840.10008.1.2.1"
_BIG_ENDIAN = ("1.2.840.10008.1.2.2", "1.2.840.113619.5.2")  # the second is GE's, of pixel data alone
_DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"
_JPEG_XL = ("1.2.840.10008.1.2.4.110", "1.2.840.10008.1.2.4.111", "1.2.840.10008.1.2.4.112")
_VIDEO = tuple(f"1.2.840.10008.1.2.4.{number}" for number in range(100, 109))
# What decodes a stream whose kind is not the one that the transfer syntax promises.
_SYNTAX = {
    "baseline": "1.2.840.10008.1.2.4.50",
    "extended": "1.2.840.10008.1.2.4.51",
    "progressive": "1.2.840.10008.1.2.4.51",
    "lossless": "1.2.840.10008.1.2.4.57",
    "jpeg-ls": "1.2.840.10008.1.2.4.80",
    "jpeg-2000": "1.2.840.10008.1.2.4.90",
}
_VARIANTS = ("1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.81", "1.2.840.10008.1.2.4.91")
_HT_JPEG_2000 = ("1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.203")
_FLOATS = {"FloatPixelData": 32, "DoubleFloatPixelData": 64}
_COLOUR_SPACES = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_NOT_SUPPORTED = ("HSV", "ARGB", "CMYK", "YBR_PARTIAL_422", "YBR_PARTIAL_420")
_LENGTHS = (8, 16, 32, 64)


@dataclass(frozen=True)
class Layout:
    """How the frames of an object lie in its pixel data."""

    keyword: str  # PixelData, FloatPixelData or DoubleFloatPixelData
    rows: int
    columns: int
    samples: int  # a pixel: 1 or 3
    frames: int
    allocated: int  # bits a sample: 1, 8, 16, 32 or 64
    stored: int  # of these, the bits that hold the value
    high_bit: int
    signed: bool
    photometric: str
    planar: int

    @property
    def frame_bytes(self) -> float:
        """Bytes of a native frame; frames of single bits need not end with a byte."""
        halved = self.photometric == "YBR_FULL_422"
        size = self.rows * self.columns * self.samples * self.allocated / 8
        return size * 2 / 3 if halved else size


@dataclass(frozen=True)
class Frame:
    """One frame before it is decoded. `index`: its number in the object; `position`: its number in `pixels`."""

    layout: Layout
    index: int
    pixels: bytes  # native, or one compressed frame
    position: int
    syntax: str  # of `pixels`
    vr: str = "OW"

    @property
    def is_native(self) -> bool:
        """Whether `pixels` are samples as they are, without a codec."""
        return self.syntax in (_EXPLICIT, *_BIG_ENDIAN)


def open_frame(dataset: Any, limits: Limits) -> Frame:
    """The middle frame of an object, within the limits. Raises DecodeError where there is none."""
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    if syntax in _JPEG_XL:
        raise DecodeError("JPEG XL is not supported")
    if syntax in _VIDEO:
        raise DecodeError("DICOM video is not supported")
    layout = _read_layout(dataset, limits)
    index = layout.frames // 2
    pixels = _pixels(dataset, layout.keyword)
    if not _encapsulated(dataset):
        native = _BIG_ENDIAN[0] if syntax in _BIG_ENDIAN else _EXPLICIT
        return Frame(layout, index, pixels, index, native, str(dataset.get_item(layout.keyword).VR or "OW"))
    frame = _compressed_frame(dataset, pixels, layout, index)
    single = replace(layout, frames=1)
    if header := read_codestream(frame):
        limits.check(header.width, header.height, size=len(frame))
        if header.kind in ("baseline", "extended"):
            frame = with_whole_spectrum(frame)
        return Frame(_as_stated_by(header, single), index, frame, 0, _syntax_of(header, syntax))
    if syntax not in (RLE, _DEFLATED_FRAMES):
        known = syntax in (*_SYNTAX.values(), *_HT_JPEG_2000, *_VARIANTS)
        raise DecodeError("DICOM pixel data cannot be decoded" if known else "DICOM transfer syntax is not supported")
    limits.check(layout.columns, layout.rows)
    if syntax == RLE and len(frame) > 2 * layout.frame_bytes + 4096:  # run-length encoding at most doubles the data
        raise DecodeError("DICOM pixel data cannot be decoded")
    return Frame(single, index, frame, 0, syntax)


def stored_values(frame: Frame) -> tuple[np.ndarray, Layout]:
    """The stored values, [rows, columns] or [rows, columns, 3] of any number type, and the layout once more: a codec
    may have changed the colour space and the depth. Raises whatever a codec does."""
    layout = frame.layout
    if frame.syntax == _DEFLATED_FRAMES:  # PS3.5 A.4.12
        inflated = zlib.decompressobj(-15).decompress(frame.pixels, math.ceil(layout.frame_bytes))
        return _decoded(inflated, _EXPLICIT, layout)
    if frame.is_native:
        return _decoded(frame.pixels, frame.syntax, layout, frame.position, frame.vr)
    encapsulated = encapsulate(frame.pixels)
    if frame.syntax == RLE and layout.allocated == 1:  # bytes of eight pixels each are what the run lengths are of
        row = replace(layout, rows=1, columns=math.ceil(layout.frame_bytes), allocated=8, stored=8, high_bit=7)
        return _decoded(_decoded(encapsulated, RLE, row)[0].tobytes(), _EXPLICIT, layout)
    return _decoded(encapsulated, frame.syntax, layout)


def _read_layout(dataset: Any, limits: Limits) -> Layout:
    """The layout that the attributes state and the length of native pixel data bears out."""
    attributes = Attributes(dataset)
    keyword = next((name for name in ("PixelData", *_FLOATS) if attributes.data(name)), None)
    if keyword is None:
        raise DecodeError("DICOM object has no pixel data")
    if "Rows" not in dataset and "Columns" not in dataset and not _encapsulated(dataset):
        raise DecodeError("DICOM object states neither Rows nor Columns")
    photometric = attributes.text("PhotometricInterpretation")
    colour = photometric in _COLOUR_SPACES
    samples = attributes.integer("SamplesPerPixel", 3 if colour else 1)
    if samples not in (1, 3):
        raise DecodeError("DICOM samples per pixel are neither 1 nor 3")
    if photometric in _NOT_SUPPORTED:
        raise DecodeError("DICOM photometric interpretation is not supported")
    allocated = _FLOATS.get(keyword) or attributes.integer("BitsAllocated")
    layout = Layout(
        keyword,
        attributes.integer("Rows"),
        attributes.integer("Columns"),
        samples,
        max(attributes.integer("NumberOfFrames", 1), 1),
        allocated,
        attributes.integer("BitsStored", allocated),
        attributes.integer("HighBit", -1),
        attributes.integer("PixelRepresentation") == 1,
        photometric,
        int(attributes.integer("PlanarConfiguration") == 1),
    )
    if _encapsulated(dataset):
        limits.check(max(layout.columns, 1), max(layout.rows, 1), layout.frames)
        return _consistent(layout)
    limits.check(layout.columns, layout.rows, layout.frames)
    return _consistent(_fitted(layout, len(_pixels(dataset, keyword))))


def _fitted(layout: Layout, size: int) -> Layout:
    """`layout`, mended where native pixel data of `size` bytes can only mean something else."""
    colour = layout.photometric in _COLOUR_SPACES
    tries = [layout, replace(layout, samples=3 if colour else 1)]
    tries += [replace(one, allocated=bits) for one in tries[::-1] for bits in _LENGTHS if bits >= layout.stored]
    if layout.photometric == "YBR_FULL_422":  # stated, but not halved
        tries.append(replace(layout, photometric="YBR_FULL"))
    if layout.keyword in _FLOATS:
        tries = [layout]

    def fits(one: Layout) -> bool:
        return math.ceil(one.frame_bytes * one.frames) in (size, size - 1)

    def legal(one: Layout) -> bool:
        return one.allocated in (1, *_LENGTHS) and one.stored <= one.allocated

    stated = layout.allocated in (1, *_LENGTHS)
    if not (stated and fits(layout)):
        layout = next((one for one in tries if legal(one) and fits(one)), layout)
    if layout.allocated not in (1, *_LENGTHS):
        raise DecodeError("DICOM BitsAllocated is not 1, 8, 16, 32 or 64")
    whole = int(size // layout.frame_bytes)
    if not whole:
        raise DecodeError("DICOM pixel data is shorter than its header states")
    return replace(layout, frames=min(layout.frames, whole))


def _consistent(layout: Layout) -> Layout:
    """`layout` with stored bits that fit into the allocated ones, a high bit above them, and a photometric name."""
    stored = layout.stored if 0 < layout.stored <= layout.allocated else layout.allocated
    high = layout.high_bit if stored - 1 <= layout.high_bit < layout.allocated else stored - 1
    photometric = layout.photometric
    if layout.samples == 3 and photometric not in _COLOUR_SPACES:
        photometric = "RGB"
    if layout.samples == 1 and photometric not in ("MONOCHROME1", "PALETTE COLOR"):
        photometric = "MONOCHROME2"
    signed = layout.signed and layout.samples == 1  # colours have no sign
    return replace(layout, stored=stored, high_bit=high, photometric=photometric, signed=signed)


def _encapsulated(dataset: Any) -> bool:
    """Whether the pixel data are fragments: an undefined length says so, whatever the transfer syntax."""
    element = dataset.get_item("PixelData") if "PixelData" in dataset else None
    if element is None or not isinstance(element.value, bytes) or element.value[:4] != b"\xfe\xff\x00\xe0":
        return False
    undefined = getattr(element, "length", None) == 0xFFFFFFFF or getattr(element, "is_undefined_length", False)
    return undefined or str(dataset.file_meta.TransferSyntaxUID) not in (_EXPLICIT, *_BIG_ENDIAN, "1.2.840.10008.1.2")


def _pixels(dataset: Any, keyword: str) -> bytes:
    found = Attributes(dataset).data(keyword)
    return found[0] if found else b""


def _compressed_frame(dataset: Any, pixels: bytes, layout: Layout, index: int) -> bytes:
    from pydicom import encaps

    offsets, lengths = (Attributes(dataset).data(f"ExtendedOffsetTable{name}") for name in ("", "Lengths"))
    extended = (offsets[0], lengths[0]) if offsets and lengths else None
    try:
        return encaps.get_frame(pixels, index, number_of_frames=layout.frames, extended_offsets=extended)
    except (ValueError, RuntimeError):  # the number of frames is wrong: every fragment is one, or all are one
        fragments = list(encaps.generate_fragments(pixels))[1:]  # the first is the offset table
        if not fragments:
            raise DecodeError("DICOM pixel data is shorter than its header states") from None
        return fragments[min(index, len(fragments) // 2)] if layout.frames > 1 else b"".join(fragments)


def _as_stated_by(header: Codestream, layout: Layout) -> Layout:
    """`layout` with the size, depth and number of samples that a stream states of itself."""
    samples = header.samples if header.samples in (1, 3) else layout.samples
    layout = replace(layout, rows=header.height, columns=header.width, samples=samples)
    if samples == 3 and layout.photometric not in _COLOUR_SPACES:
        layout = replace(layout, photometric="RGB" if header.kind in ("jpeg-2000", "jpeg-ls") else "YBR_FULL")
    wide = 8 if header.bits <= 8 else 16 if header.bits <= 16 else 32
    upper = layout.high_bit + 1 == header.bits > layout.stored
    if layout.allocated != wide or (header.kind in ("jpeg-2000", "jpeg-ls") and not upper):
        layout = replace(layout, allocated=wide, stored=header.bits, high_bit=header.bits - 1)
    return _consistent(layout)


def _syntax_of(header: Codestream, stated: str) -> str:
    """The transfer syntax that decodes a stream: the stated one where it is of the stream's kind."""
    if header.kind == "jpeg-2000" and stated in (*_HT_JPEG_2000, "1.2.840.10008.1.2.4.91"):
        return stated
    return _SYNTAX.get(header.kind, stated)


def _decoded(pixels: bytes, syntax: str, layout: Layout, index: int = 0, vr: str = "OW") -> tuple[np.ndarray, Layout]:
    from pydicom.pixels.decoders.base import get_decoder

    if layout.allocated == layout.samples == 1 < layout.frames:  # pydicom does not find frames that begin within a byte
        return _single_bits(pixels, layout, index, syntax in _BIG_ENDIAN and vr == "OW"), layout
    options: dict[str, Any] = {  # pydicom states the type of each as that of all of them
        "rows": layout.rows,
        "columns": layout.columns,
        "samples_per_pixel": layout.samples,
        "number_of_frames": layout.frames,
        "bits_allocated": layout.allocated,
        "bits_stored": layout.stored,
        "pixel_representation": int(layout.signed),
        "photometric_interpretation": layout.photometric,
        "planar_configuration": layout.planar,
        "pixel_keyword": layout.keyword,
        "pixel_vr": vr,
        "correct_unused_bits": False,
        "view_only": True,
    }
    # Its conversion of colours is for eight bits alone; deeper ones are converted once they have eight.
    values, found = get_decoder(syntax).as_array(pixels, index=index, raw=layout.allocated > 8, **options)
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    allocated = 1 if layout.allocated == 1 else 8 * values.itemsize
    layout = replace(layout, photometric=str(found["photometric_interpretation"]), allocated=allocated)
    if layout.stored == 1 < layout.allocated and values.dtype.kind in "iu":
        if ((values != values.min()) & (values != values.max())).any():  # words of more than two values are no mask
            layout = replace(layout, stored=allocated, high_bit=allocated - 1)
        else:
            values, layout = values.view(f"u{values.itemsize}"), replace(layout, signed=False)
    return _meaningful_bits(values, layout), layout


def _single_bits(pixels: bytes, layout: Layout, index: int, swapped: bool) -> np.ndarray:
    """Frame `index` of single bits: the first in the lowest bit, frames without a gap between them (PS3.5 8.1.1).

    Where the pixel data are as long as that of frames that begin with a byte each, they do. swapped: words of 16 bits
    are big endian.
    """
    data = np.frombuffer(pixels[: len(pixels) // 2 * 2], ">u2").astype("<u2").view(np.uint8) if swapped else pixels
    size, whole = layout.rows * layout.columns, math.ceil(layout.rows * layout.columns / 8)
    apart = len(pixels) >= layout.frames * whole > math.ceil(layout.frames * size / 8) + 1
    start = index * (8 * whole if apart else size)
    bits = np.unpackbits(np.frombuffer(data, np.uint8)[start // 8 :][: whole + 1], bitorder="little")
    return bits[start % 8 :][:size].reshape(layout.rows, layout.columns)


def _meaningful_bits(values: np.ndarray, layout: Layout) -> np.ndarray:
    """The values in the stored bits, which end with the high bit; what stands in other bits is not looked at."""
    if values.dtype.kind == "f" or layout.allocated == 1 or layout.stored >= layout.allocated:
        return values
    span = 1 << layout.stored
    least, greatest = (-span // 2, span // 2 - 1) if layout.signed else (0, span - 1)
    high = layout.high_bit
    if values.min() >= least and values.max() <= greatest:
        below = (1 << (high + 1 - layout.stored)) - 1
        if not below or (values & values.dtype.type(below)).any():  # the high bit is wrong: the values lie low
            return values
    kept = (values << (layout.allocated - 1 - high)) >> (layout.allocated - layout.stored)
    return kept if kept.min() < kept.max() else values  # bits stored that hold nothing are not the stored ones


def encapsulate(frame: bytes) -> bytes:
    """Pixel data of one compressed frame, as pydicom's decoders take them."""
    from pydicom import encaps

    return encaps.encapsulate([frame])
