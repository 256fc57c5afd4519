"""DICOM files in which one attribute has been replaced by another legal or illegal value, from a seed.

As a script it decodes them and prints how many became pictures, which reasons the others had, and what should not be:

    python changed_attributes.py SEED COUNT
"""

import io
import json
import sys
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from support.dicom_file import as_encoded, dicom

from mcmfh.archive.images import DecodeError, Limits, decode_picture

_DATA = Path(pydicom.__file__).parent / "data" / "test_files"
_FILES = """
CT_small MR_small MR_small_RLE MR_small_bigendian MR_small_jp2klossless MR_small_jpeg_ls_lossless JPGExtended
JPEG-lossy SC_rgb_jpeg_dcmtk SC_rgb_rle_16bit SC_ybr_full_422_uncompressed examples_palette
rtdose_1frame image_dfl examples_overlay examples_ybr_color
"""
_RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)
# What a reason may say after each of the attributes that decide what the pixel data are. A reason that names no
# attribute at all is fair for those whose fault only the codec can notice; every other attribute has no reason.
_SHAPE = {"DICOM pixel data is shorter than its header states", "DICOM pixel data cannot be decoded"}
_SIZE = {
    *_SHAPE,
    "picture is uniform",
    "image has no area",
    "image is too long and thin",
    "image has more pixels than the limit",
}
REASONS = {
    "Rows": {*_SIZE, "DICOM object states neither Rows nor Columns"},
    "Columns": {*_SIZE, "DICOM object states neither Rows nor Columns"},
    "BitsAllocated": {*_SHAPE, "DICOM BitsAllocated is not 1, 8, 16, 32 or 64"},
    "SamplesPerPixel": {*_SHAPE, "DICOM samples per pixel are neither 1 nor 3"},
    "NumberOfFrames": {*_SHAPE, "image has more frames than the limit"},
    "PhotometricInterpretation": {
        *_SHAPE,
        "DICOM photometric interpretation is not supported",
        "DICOM palette cannot be read",
    },
    "RedPaletteColorLookupTableDescriptor": {"DICOM palette cannot be read"},
    "RedPaletteColorLookupTableData": {"DICOM palette cannot be read"},
    "PixelData": {*_SHAPE, "DICOM object has no pixel data", "picture is uniform"},
    "TransferSyntaxUID": {
        *_SHAPE,
        "DICOM transfer syntax is not supported",
        "DICOM video is not supported",
        "JPEG XL is not supported",
        "DICOM header cannot be read",
        "DICOM object has no pixel data",  # the encoding of the elements themselves is another one
        "DICOM object states neither Rows nor Columns",
        "DICOM object is empty",
    },
}
_WORDS = [0, 1, 2, 3, 7, 8, 10, 11, 12, 15, 16, 24, 31, 32, 64, 100, 255, 256, 4095, 4096, 32767, 32768, 63536, 65535]
_DECIMALS = ["", "0", "1", "-1", "40", "4000", "-1024", "2048,5", "1.024,5", "1e3", "1e308", "-1e-308", "nan", "inf"]
_DECIMALS += ["abc", "0.5", "1\\2", "\\5", " 7 ", "1A", "--3", "99999999999999999999", "0x10"]
_CODES = ["", "?", "MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "HSV"]
_CODES += ["CMYK", "INVERSE", "IDENTITY", "SIGMOID", "LINEAR_EXACT", "LOG", "monochrome2", "NO", "\xff\xfe"]
_UIDS = [f"1.2.840.10008.1.2{end}" for end in ("", ".1", ".2", ".1.99", ".5", ".8.1", ".1.98", ".7.1")]
_UIDS += [f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70, 80, 81, 90, 91, 100, 106, 110, 112, 201, 203)]
_UIDS += ["", "1.2.3", "abc", "1.2.840.10008.5.1.4.1.1.12.1", "1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.1.5.1"]
_LISTS = [[], [0, 0, 0], [256, 0, 8], [256, 0, 16], [4096, 0, 12], [4096, 64512, 12], [1, 0, 16], [65535, 65535, 65535]]
_WORD_NAMES = """
Rows Columns BitsAllocated BitsStored HighBit PixelRepresentation SamplesPerPixel PlanarConfiguration PixelPaddingValue
PixelPaddingRangeLimit SmallestImagePixelValue LargestImagePixelValue
"""
_DECIMAL_NAMES = "NumberOfFrames WindowCenter WindowWidth RescaleSlope RescaleIntercept"
_CODE_NAMES = """
PhotometricInterpretation PresentationLUTShape VOILUTFunction RescaleType PixelIntensityRelationship Modality
BurnedInAnnotation LossyImageCompression
"""
_UID_NAMES = "SOPClassUID PaletteColorLookupTableUID TransferSyntaxUID"
_TABLE_NAMES = "ModalityLUTSequence VOILUTSequence RedPaletteColorLookupTableDescriptor RedPaletteColorLookupTableData"
NAMES = [*_WORD_NAMES.split(), *_DECIMAL_NAMES.split(), *_CODE_NAMES.split(), *_UID_NAMES.split()]
NAMES += [*_TABLE_NAMES.split(), "PixelData"]
_DEFLATED = "1.2.840.10008.1.2.1.99"
_VRS = ["US", "SS", "UL", "DS", "IS", "UN", "OB", "OW", "FL", "LO", "FD"]


def table(entries: list[int], first: int, bits: int) -> list[Dataset]:
    """The value of a Modality or VOI LUT Sequence."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US" if first >= 0 else "SS", [len(entries) % 65536, first, bits])
    item.add_new("LUTData", "US", entries)
    return [item]


@lru_cache(maxsize=1)
def whole_files() -> list[bytes]:
    """One file of every kind that is decoded, masks apart."""
    signed = (_RAMP.astype(np.int16) - 1024) % 3000
    signed[:8] = -2000
    inverse = table(list(range(4095, -1, -1)), 0, 12)
    made = [
        dicom(_RAMP, WindowCenter=2048, WindowWidth=4096),
        dicom(
            _RAMP, BitsStored=12, HighBit=11, RescaleSlope=2, RescaleIntercept=-1024, WindowCenter=40, WindowWidth=400
        ),
        dicom(signed, PixelPaddingValue=-2000, PhotometricInterpretation="MONOCHROME1"),
        dicom(_RAMP, VOILUTSequence=table([entry // 16 for entry in range(4096)], 0, 8)),
        dicom(_RAMP, ModalityLUTSequence=inverse, WindowCenter=2048, WindowWidth=4096),
        dicom(np.stack([_RAMP // 16, _RAMP[::-1] // 16, _RAMP.T // 16], -1).astype(np.uint8)),
        dicom(np.stack([_RAMP, _RAMP[::-1], _RAMP.T]), WindowCenter=2048, WindowWidth=4096),
    ]
    return made + [(_DATA / f"{name}.dcm").read_bytes() for name in _FILES.split()]


def changed_files(seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """`count` files with the keyword of the attribute that was changed, the same for the same seed."""
    rng, whole = np.random.default_rng(seed), whole_files()
    for _ in range(count):
        dataset = pydicom.dcmread(io.BytesIO(whole[int(rng.integers(len(whole)))]), force=True)
        deflated = dataset.file_meta.get("TransferSyntaxUID") == _DEFLATED
        name = NAMES[int(rng.integers(len(NAMES)))]
        holder = dataset.file_meta if name == "TransferSyntaxUID" else dataset
        implicit, little = _encoding(dataset) if holder is dataset else (False, True)
        tag = Tag(tag_for_keyword(name))  # type: ignore[arg-type]
        vr, value = _value(name, rng, "<" if little else ">")
        if rng.random() < 0.07:
            holder.pop(tag, None)
        elif name.endswith("LUTSequence"):
            setattr(dataset, name, _sequence(rng))
        elif name == "PixelData":
            holder[tag] = _pixels(dataset, rng)
        else:
            holder[tag] = RawDataElement(tag, vr, len(value), value, 0, implicit, little)
        yield name, as_encoded(dataset, deflated)


def _encoding(dataset: Dataset) -> tuple[bool, bool]:
    """(implicit VR, little endian) of a dataset that was read."""
    implicit, little = dataset.original_encoding
    return bool(implicit), little is not False


def _value(name: str, rng: np.random.Generator, order: str) -> tuple[str, bytes]:
    """A VR and the bytes of a value of the attribute, now and then of another VR."""
    if name in _WORD_NAMES:
        vr, value = "US", np.array([_pick(_WORDS, rng)], order + "u2").tobytes()
    elif name in _DECIMAL_NAMES:
        vr, value = "IS" if name == "NumberOfFrames" else "DS", _pick(_DECIMALS, rng).encode("latin-1")
    elif name in _UID_NAMES:
        vr, value = "UI", _pick(_UIDS, rng).encode()
    elif name in _CODE_NAMES:
        vr, value = "CS", _pick(_CODES, rng).encode("latin-1")
    elif name.endswith("Descriptor"):
        vr, value = "US", np.array(_pick(_LISTS, rng), order + "u2").tobytes()
    else:
        vr, value = "OW", rng.integers(0, 256, int(_pick([0, 1, 2, 256, 512, 131072], rng)), np.uint8).tobytes()
    if rng.random() < 0.1:
        vr = _pick(_VRS, rng)
    if rng.random() < 0.05:
        value = rng.integers(0, 256, int(rng.integers(0, 9)), np.uint8).tobytes()
    return vr, value + b" " * (len(value) % 2)


def _pick(values: list[Any], rng: np.random.Generator) -> Any:
    return values[int(rng.integers(len(values)))]


def _sequence(rng: np.random.Generator) -> list[Dataset]:
    item = Dataset()
    if rng.random() < 0.3:
        return [[], [item], [item, item]][int(rng.integers(3))]
    entries = _pick([[0], [7] * 4096, list(range(4096)), list(range(255, -1, -1)), [65535, 0]], rng)
    found = table(entries, int(_pick([0, -1024, 100, 64512, 32768], rng)), int(_pick([0, 8, 12, 16, 99], rng)))
    if rng.random() < 0.3:
        found[0].add_new("LUTDescriptor", "US", [int(_pick(_WORDS, rng)) for _ in range(int(rng.integers(0, 4)))])
    return found


def _pixels(dataset: Dataset, rng: np.random.Generator) -> RawDataElement:
    """The pixel data under another VR, or half of them."""
    element = dataset.get_item("PixelData")
    assert element is not None
    value = element.value if rng.random() < 0.5 else element.value[: len(element.value) // 4 * 2]
    implicit, little = _encoding(dataset)
    undefined = 0xFFFFFFFF if element.value[:4] == b"\xfe\xff\x00\xe0" else len(value)
    return RawDataElement(element.tag, _pick(["OB", "OW"], rng), undefined, value, 0, implicit, little)


def outcomes(seed: int, count: int) -> dict[str, Any]:
    """Pictures, notes and reasons with their counts, and the faults: (number, attribute, what was wrong)."""
    found: Counter[str] = Counter()
    faults: list[tuple[int, str, str]] = []
    for number, (name, data) in enumerate(changed_files(seed, count)):
        try:
            picture = decode_picture(data, Limits())
        except DecodeError as error:
            found[str(error)] += 1
            if str(error) not in REASONS.get(name, set()):
                faults.append((number, name, str(error)))
        except BaseException as error:
            faults.append((number, name, repr(error)))
        else:
            found[picture.note or "picture"] += 1
            if picture.pixels.min() == picture.pixels.max():
                faults.append((number, name, "a constant picture"))
    return {"found": found, "faults": faults}


if __name__ == "__main__":
    print(json.dumps(outcomes(int(sys.argv[1]), int(sys.argv[2]))))
