"""DICOM bytes → the 8-bit picture a workstation would show.

Of a multi-frame object the middle frame is shown. `dicom_stored` reads its values; `dicom_grey` and `dicom_colour`
make the picture of them. pydicom and its codecs are the extra `dicom`.
"""

import logging
import struct
import warnings
import zlib
from functools import lru_cache
from io import BytesIO
from types import ModuleType
from typing import Any

from mcmfh.archive.dicom_attributes import Attributes
from mcmfh.archive.dicom_colour import colour_picture, palette_picture
from mcmfh.archive.dicom_grey import grey_picture, is_mask, mask_picture
from mcmfh.archive.dicom_stored import Frame, open_frame, stored_values
from mcmfh.archive.limits import DecodeError, Limits
from mcmfh.archive.memory import DECODING, MemoryBudget
from mcmfh.archive.picture import Picture
from mcmfh.errors import InputError

_DEFLATED = b"1.2.840.10008.1.2.1.99"


@lru_cache(maxsize=1)
def load_pydicom() -> ModuleType:
    """pydicom, kept quiet: its warnings and log lines quote values, that is patient data. InputError without it."""
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
    """The pydicom Dataset in `data`, with a transfer syntax. Raises DecodeError where it cannot be parsed."""
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


def decode_dicom(data: bytes, limits: Limits, budget: MemoryBudget = DECODING) -> Picture:
    """The picture in a DICOM object. Raises DecodeError; InputError without pydicom."""
    dataset = read_dicom(data, limits.max_bytes)
    try:
        if limits.refuse_burned_in and Attributes(dataset).text("BurnedInAnnotation") != "NO":
            raise DecodeError("BurnedInAnnotation is not NO")
        frame = open_frame(dataset, limits)
        layout = frame.layout
        with budget.reserve(layout.rows * layout.columns * layout.samples * _bytes_a_sample(frame)):
            return _picture(dataset, frame)
    except DecodeError:
        raise
    except Exception:
        raise DecodeError("DICOM pixel data cannot be decoded") from None


def _picture(dataset: Any, frame: Frame) -> Picture:
    stored, layout = stored_values(frame)
    attributes = Attributes(dataset).of_frame(frame.index)
    if stored.ndim == 3:
        return colour_picture(stored, layout)
    if layout.photometric == "PALETTE COLOR":
        return palette_picture(stored, dataset, is_mask(attributes, layout))
    if is_mask(attributes, layout):
        return mask_picture(stored, attributes, layout)
    return grey_picture(stored, attributes, layout)


def _bytes_a_sample(frame: Frame) -> int:
    """What a sample costs at the peak, measured: in integers of up to 16 bits, in a codec, in floats."""
    if frame.layout.allocated > 16:
        return 40
    return 6 if frame.pixels and frame.syntax.startswith("1.2.840.10008.1.2.1") else 18


def _check_deflated(data: bytes, max_bytes: int) -> None:
    """A deflated dataset is inflated here piece by piece first: pydicom would inflate any bomb at once."""
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
