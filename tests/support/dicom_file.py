"""Small DICOM files for the tests."""

import io
import zlib
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.uid import ExplicitVRLittleEndian


def dicom(stored: np.ndarray, compress: str | None = None, **attributes: Any) -> bytes:
    """A DICOM object of [rows, columns], [frames, rows, columns] or [rows, columns, 3] stored values."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3.4"
    colour = stored.shape[-1] == 3
    dataset.Rows, dataset.Columns = stored.shape[-3:-1] if colour else stored.shape[-2:]
    dataset.SamplesPerPixel = 3 if colour else 1
    if colour:
        dataset.PlanarConfiguration = 0
    elif stored.ndim == 3:
        dataset.NumberOfFrames = len(stored)
    dataset.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = stored.itemsize * 8
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    dataset.PixelData = stored.tobytes()
    for name, value in attributes.items():
        setattr(dataset, name, value)
    if compress:
        dataset.compress(compress)
    sink = io.BytesIO()
    pydicom.dcmwrite(sink, dataset, enforce_file_format=True)
    return sink.getvalue()


def as_encoded(dataset: Dataset, deflated: bool = False) -> bytes:
    """The file of a dataset that was read, encoded as it was; its meta information may promise another encoding."""
    implicit, little = dataset.original_encoding
    sink, body, meta = DicomBytesIO(), io.BytesIO(), dataset.file_meta
    dataset.file_meta, dataset.preamble = FileMetaDataset(), None
    pydicom.dcmwrite(body, dataset, implicit_vr=implicit, little_endian=little)
    dataset.file_meta = meta
    sink.write(bytes(128) + b"DICM")
    pydicom.filewriter.write_file_meta_info(sink, meta, enforce_standard=False)
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    sink.write(squeeze.compress(body.getvalue()) + squeeze.flush() if deflated else body.getvalue())
    return sink.getvalue()
