"""Makes the files of one study: the picture as DICOM, PNG or JPEG, the report as a file or in the manifest."""

import hashlib
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from mcmfh.archive.dicom import load_pydicom
from mcmfh.phantom.anatomy import Canvas
from mcmfh.phantom.grammar import write_report
from mcmfh.phantom.studies import Study

# modality → DICOM's modality, storage class, and the shares of DICOM, PNG and JPEG
_HABITS = {
    "radiograph": ("DX", "1.2.840.10008.5.1.4.1.1.1.1", (0.5, 0.25, 0.25)),
    "CT": ("CT", "1.2.840.10008.5.1.4.1.1.2", (0.75, 0.25, 0.0)),
    "MR": ("MR", "1.2.840.10008.5.1.4.1.1.4", (0.75, 0.25, 0.0)),
    "ultrasound": ("US", "1.2.840.10008.5.1.4.1.1.6.1", (0.3, 0.2, 0.5)),
}


@dataclass(frozen=True)
class Handover:
    """The files of one study. `image` None: the manifest names the file, but it is missing."""

    item_id: str
    stem: str
    image: bytes | None
    image_name: str
    shown: np.ndarray  # uint8[H, W], the windowed picture
    report: str
    report_name: str  # "" where the manifest holds the text itself


def hand_over(study: Study) -> Handover:
    """The files of `study`: draws its picture, words its report and encodes both."""
    rng = np.random.default_rng(study.seed)
    pixels = _draw(study, rng)
    stem = f"S{study.number:06d}"
    kind = str(rng.choice(["dcm", "png", "jpg"], p=_HABITS[study.exam.modality][2]))
    shown = _shown(study, pixels)
    image = _some_dicom(study, pixels, rng) if kind == "dcm" else encode(shown, {"png": "PNG", "jpg": "JPEG"}[kind])
    report_name = f"{stem}.txt" if rng.random() < 0.5 else ""
    return Handover(stem, stem, image, f"{stem}.{kind}", shown, write_report(study, rng), report_name)


def encode(shown: np.ndarray, kind: str) -> bytes:
    """uint8[rows, columns] as the bytes of a "PNG" or "JPEG" file."""
    sink = io.BytesIO()
    Image.fromarray(shown).save(sink, kind, **({"quality": 90} if kind == "JPEG" else {"compress_level": 3}))
    return sink.getvalue()


def as_dicom(study: Study, stored: np.ndarray, window: tuple[float, float] | None, **attributes: Any) -> bytes:
    """A DICOM Part 10 file of `stored` (uint8, uint16 or int16); `attributes` extend or override its header."""
    pydicom = load_pydicom()
    modality, storage_class, _ = _HABITS[study.exam.modality]
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = storage_class, _uid(study, "image")
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = _uid(study, "study"), _uid(study, "series")
    dataset.AccessionNumber = f"S{study.number:06d}"
    dataset.PatientID, dataset.PatientName = study.patient.name, f"Phantom^{study.patient.name}"
    dataset.PatientBirthDate, dataset.PatientSex = f"{study.patient.born:%Y%m%d}", "F" if study.patient.female else "M"
    dataset.StudyDate, dataset.Modality = f"{study.date:%Y%m%d}", modality
    dataset.BodyPartExamined, dataset.BurnedInAnnotation = study.exam.region.upper(), "NO"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = stored.itemsize * 8
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    if window:
        dataset.WindowCenter, dataset.WindowWidth = (f"{value:.6g}" for value in window)
    dataset.PixelData = stored.tobytes()
    for name, value in attributes.items():
        setattr(dataset, name, value)
    dataset.HighBit = dataset.BitsStored - 1
    sink = io.BytesIO()
    pydicom.dcmwrite(sink, dataset, enforce_file_format=True)
    return sink.getvalue()


def _draw(study: Study, rng: np.random.Generator) -> np.ndarray:
    """float32 pixels in the exam's units. Over the years detectors become larger and less noisy, and exposure drops."""
    size = int(
        rng.choice(
            [224, 256, 288, 320], p=[0.45 - 0.3 * study.era, 0.35, 0.15 + 0.2 * study.era, 0.05 + 0.1 * study.era]
        )
    )
    canvas = Canvas(size, np.random.default_rng(study.patient.seed), rng)
    study.exam.draw(canvas, list(study.findings))
    if study.exam.modality == "radiograph":
        exposure = rng.normal(1.0, 0.05) * (1.06 - 0.12 * study.era)
        grain = (0.020 - 0.010 * study.era) * canvas.grain()
        canvas.pixels = np.clip(canvas.pixels * exposure + grain, 0, 1.3)
    return canvas.pixels


def _shown(study: Study, pixels: np.ndarray) -> np.ndarray:
    centre, width = study.exam.window
    return np.clip((pixels - centre) * (255 / width) + 127.5, 0, 255).astype(np.uint8)


def _some_dicom(study: Study, pixels: np.ndarray, rng: np.random.Generator) -> bytes:
    """The picture in a vendor's encoding, which varies in bit depth, sign, rescale, MONOCHROME1 and window."""
    centre, width = study.exam.window
    choice = rng.random()
    if study.exam.modality == "CT":
        if choice < 0.5:  # signed Hounsfield units, two windows
            windows = {"WindowCenter": [centre, 400], "WindowWidth": [width, 2000]}
            return as_dicom(
                study, np.rint(pixels).astype(np.int16), None, RescaleSlope=1, RescaleIntercept=0, **windows
            )
        stored = np.clip(np.rint(pixels) + 1024, 0, 4095).astype(np.uint16)
        return as_dicom(study, stored, (centre, width), BitsStored=12, RescaleSlope=1, RescaleIntercept=-1024)
    if study.exam.modality == "MR":
        return as_dicom(
            study, np.rint(pixels).astype(np.uint16), (centre, width), BitsStored=12 if pixels.max() < 4096 else 16
        )
    if study.exam.modality == "ultrasound":
        return as_dicom(study, _shown(study, pixels), None)
    bits = 12 if choice < 0.6 else 16
    full = (1 << bits) - 1
    stored = np.rint(np.clip(pixels / 1.3, 0, 1) * full).astype(np.uint16)
    window = (centre / 1.3 * full, width / 1.3 * full)
    if rng.random() < 0.5:
        stored, window = full - stored, (full - window[0], window[1])
        return as_dicom(study, stored, window, BitsStored=bits, PhotometricInterpretation="MONOCHROME1")
    return as_dicom(study, stored, window if choice < 0.9 else None, BitsStored=bits)


def _uid(study: Study, what: str) -> str:
    """A UID derived from a UUID-sized digest (PS3.5 B.2)."""
    name = f"{what} {study.seed}".encode()
    return f"2.25.{int.from_bytes(hashlib.sha256(name).digest()[:16], 'big')}"
