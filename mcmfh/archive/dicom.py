"""Decodes DICOM bytes into the 8-bit picture that a workstation would show.

A multi-frame object is represented by its middle frame. `dicom_stored` reads the values of that frame; `dicom_grey`
and `dicom_colour` turn them into a picture. pydicom and its codecs are the optional dependency `dicom`.
"""

import logging
import warnings
import zlib
from functools import lru_cache
from io import BytesIO
from types import ModuleType
from typing import Any

from mcmfh.archive.dicom_attributes import Attributes
from mcmfh.archive.dicom_colour import colour_picture, palette_picture
from mcmfh.archive.dicom_grey import grey_picture, is_mask, mask_picture
from mcmfh.archive.dicom_signature import transfer_syntax
from mcmfh.archive.dicom_stored import Frame, open_frame, stored_values
from mcmfh.archive.limits import DecodeError, Limits
from mcmfh.archive.memory import DECODING, MemoryBudget
from mcmfh.archive.picture import Picture
from mcmfh.errors import InputError

_DEFLATED = b"1.2.840.10008.1.2.1.99"


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
    """The most memory that one sample takes while it is decoded: as a float, native, or in a codec."""
    if frame.layout.allocated > 16:
        return 40
    return 6 if frame.is_native else 18


def _check_deflated(data: bytes, max_bytes: int) -> None:
    """Raise DecodeError where a deflated dataset inflates to more than `max_bytes`; pydicom itself has no bound."""
    stated = transfer_syntax(data)
    if stated is None or stated[0] != _DEFLATED:
        return
    inflate, pending, size = zlib.decompressobj(-15), data[stated[1] :], 0
    try:
        while pending and not inflate.eof:
            size += len(inflate.decompress(pending, 1 << 20))
            pending = inflate.unconsumed_tail
            if size > max_bytes:
                raise DecodeError("file is larger than the limit")
    except zlib.error:
        raise DecodeError("DICOM header cannot be read") from None
