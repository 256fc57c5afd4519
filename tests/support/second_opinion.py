"""What an independent decoder makes of a picture, and why it may rightly make something else of it."""

import os
import resource
import subprocess
import warnings
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from uuid import uuid4

import imagecodecs
import numpy as np
import pydicom
import simplejpeg
import tifffile
from PIL import Image, ImageOps
from support.dcmtk import SYNTAXES, dcmtk

from mcmfh.archive.dicom_grey import window
from mcmfh.archive.picture import WINDOW_SHOWS_NOTHING, Picture

_ITK: Any = import_module("SimpleITK")  # from PyPI; no test needs it
_ITK.ProcessObject.SetGlobalWarningDisplay(False)
warnings.filterwarnings("ignore")
_FORK = get_context("fork")
_ITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)  # its threads would not survive the fork
_MOST_BYTES = 8 << 30  # of address space
_PATIENCE = 20  # seconds
_ROUNDING = 3.0  # grey levels on average
_LINEAR = 0.999
_REDUCED = 16_000_000  # pixels


@dataclass(frozen=True)
class Opinion:
    """`pixels`: int[H, W] or int[H, W, 3] of 0 to 255, by the decoder `name`."""

    pixels: np.ndarray
    name: str


def second_opinion(path: Path, kind: str, scratch: Path, picture: Picture | None) -> Opinion | None:
    """The picture at `path` by another decoder; None where none can decode it.

    picture: ours; where its window showed nothing, the other decoder shows the range as well.
    """
    with suppress(Exception):
        if kind == "DICOM":
            return _dicom(path, scratch, picture)
        if kind == "WebP":
            return Opinion(_upright(path, _flat(imagecodecs.webp_decode(path.read_bytes()).astype(int))), "imagecodecs")
        if kind == "TIFF" and (pixels := _shallow_tiff(path)) is not None:
            return Opinion(_upright(path, pixels), "tifffile")
        return Opinion(_upright(path, _eight_bit(_itk(path, last=False))), "SimpleITK")
    return None


def _dicom(path: Path, scratch: Path, picture: Picture | None) -> Opinion:
    header = pydicom.dcmread(path, force=True)
    if not hasattr(header, "file_meta"):
        header.file_meta = pydicom.dataset.FileMetaDataset()
    by_range = picture is not None and picture.note == WINDOW_SHOWS_NOTHING
    if header.file_meta.get("TransferSyntaxUID", "1.2.840.10008.1.2") in SYNTAXES:
        target = scratch / f"{uuid4().hex}.pnm"
        try:
            return Opinion(dcmtk(path, header, target, by_range), "DCMTK")
        except (subprocess.SubprocessError, OSError, ValueError):
            pass
        finally:
            target.unlink(missing_ok=True)
    values = _itk(path, last=True)
    if header.PhotometricInterpretation == "MONOCHROME1":  # GDCM has inverted them
        values = (1 << header.BitsStored) - 1 - values.astype(int)
    if values.ndim == 3:
        return Opinion(_eight_bit(values), "SimpleITK")
    centres, widths = header.get("WindowCenter"), header.get("WindowWidth")
    if centres is None or widths is None or by_range:
        grey = _stretched(values)
    else:
        centre, width = (float(each[0] if hasattr(each, "__getitem__") else each) for each in (centres, widths))
        shown = window(values.astype(float), centre, width, str(header.get("VOILUTFunction", "LINEAR")))
        grey = np.rint(255 * shown).astype(int)
    return Opinion(255 - grey if header.PhotometricInterpretation == "MONOCHROME1" else grey, "SimpleITK")


def _shallow_tiff(path: Path) -> np.ndarray | None:
    """The first page of up to eight bits a sample, which we read by Pillow; None of others."""
    page: Any = tifffile.TiffFile(path).pages.first
    bits, photometric = page.bitspersample, int(page.photometric)
    if not isinstance(bits, int) or bits > 8 or int(page.sampleformat) != 1 or photometric > 3 or page.imagedepth != 1:
        return None
    values = np.asarray(page.asarray())
    if int(page.planarconfig) == 2 and values.ndim == 3:
        values = np.moveaxis(values, 0, -1)
    if photometric == 3:
        coloured: np.ndarray = (page.colormap >> 8).T[values].astype(int)
        return coloured
    grey = values.astype(int) * 255 // ((1 << bits) - 1)
    return _flat(255 - grey if photometric == 0 else grey)


def _itk(path: Path, last: bool) -> np.ndarray:
    """`_read_by_itk` in a process of its own, because broken files end it. Raises ValueError where it gives nothing."""
    ours, theirs = _FORK.Pipe(duplex=False)
    reader = _FORK.Process(target=lambda: theirs.send(_read_by_itk(path, last)))
    reader.start()
    theirs.close()
    try:
        if not ours.poll(_PATIENCE):
            raise EOFError
        values: np.ndarray = ours.recv()
        return values
    except EOFError:
        raise ValueError("SimpleITK cannot decode the file") from None
    finally:
        reader.kill()
        reader.join()


def _read_by_itk(path: Path, last: bool) -> np.ndarray:
    """[H, W] or [H, W, samples]: the middle frame, or the first page."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # its codecs write there
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))  # headers of broken files ask for anything
    image = _ITK.ReadImage(str(path))
    values: np.ndarray = _ITK.GetArrayFromImage(image)
    if image.GetDimension() == 3:
        values = values[len(values) // 2 if last else 0]
    return values


def _eight_bit(values: np.ndarray) -> np.ndarray:
    if values.ndim == 2:
        return values.astype(int) if values.dtype == np.uint8 else _stretched(values)
    shifted = values >> 8 * (values.itemsize - 1) if values.dtype.kind == "u" else values
    return _flat(shifted.astype(int))


def _flat(values: np.ndarray) -> np.ndarray:
    """Colours on black."""
    if values.ndim == 3 and values.shape[2] in (2, 4):
        values = np.rint(values[..., :-1] * (values[..., -1:] / 255)).astype(int)
        if values.shape[2] == 1:
            values = np.repeat(values, 3, axis=2)
    return values


def _stretched(values: np.ndarray) -> np.ndarray:
    values = values.astype(float)
    low, high = np.nanmin(values), np.nanmax(values)
    stretched: np.ndarray = np.rint(np.nan_to_num((values - low) * (255 / max(high - low, 1e-300)))).astype(int)
    return stretched


def _upright(path: Path, pixels: np.ndarray) -> np.ndarray:
    with Image.open(path) as image:
        orientation = image.getexif().get(0x0112, 1)
    if orientation == 1:
        return pixels
    other = Image.fromarray(pixels.astype(np.uint8))
    other.getexif()[0x0112] = orientation
    turned: np.ndarray = np.asarray(ImageOps.exif_transpose(other)).astype(int)
    return turned


def explained(path: Path, kind: str, picture: Picture, opinion: Opinion) -> str:
    """Why two decoders rightly differ on a picture; "" where that is not known."""
    ours, theirs = picture.pixels.astype(int), opinion.pixels
    same = ours.shape == theirs.shape
    if kind == "DICOM":
        return _explained_dicom(pydicom.dcmread(path, force=True), ours, theirs)
    if same and np.abs(ours - theirs).mean() < _ROUNDING:
        return "lossy JPEG: ISO 10918-1 leaves the inverse transform and the enlarging of chroma to the decoder"
    with Image.open(path) as image:
        if kind == "JPEG" and image.mode == "CMYK":
            return "CMYK without a profile: no standard says which red, green and blue it is"
        if kind == "JPEG" and image.info.get("adobe_transform") is not None:
            return "ISO 10918-6: the Adobe marker says which colour space it is, which SimpleITK does not read"
        if kind == "JPEG" and _is_damaged(path.read_bytes()):
            return "a damaged stream, in which each decoder finds its way back after other blocks"
        if kind == "JPEG" and image.width * image.height > _REDUCED:
            return "more than 16 million pixels: ours is decoded at a half of its size"
        if image.getexif().get(0x0112, 1) != 1 or "xmp" in image.info:
            return "orientation: ours turns by Exif, as CIPA DC-008 asks, and by nothing else"
        if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
            return "transparency: ours composes on black; the other decoder gives the colours as they are"
        if kind == "TIFF" and (image.mode in ("CMYK", "LAB", "YCbCr") or not same):
            return "TIFF 6.0: another colour space or plane arrangement, which the other decoder gives as it is stored"
    if kind == "PNG" and same and min(len(np.unique(ours)), len(np.unique(theirs))) <= 1 << 4:
        return "PNG 11.2.2: palettes of fewer than 256 entries, which SimpleITK fills up"
    return ""


def _is_damaged(data: bytes) -> bool:
    try:
        simplejpeg.decode_jpeg(data)  # strict: a warning is an error
    except ValueError:
        return True
    return False


def _explained_dicom(header: pydicom.Dataset, ours: np.ndarray, theirs: np.ndarray) -> str:
    syntax = str(header.file_meta.get("TransferSyntaxUID", ""))
    slope = abs(float(header.get("RescaleSlope") or 1))
    levels = len(np.unique(theirs)) < len(np.unique(ours))
    windowed = header.get("WindowCenter") is not None
    lossy = syntax[-5:] in (".4.50", ".4.51", ".4.81", ".4.91")
    if ours.shape == theirs.shape and lossy and np.abs(ours - theirs).mean() < _ROUNDING:
        return "lossy JPEG: ISO 10918-1 leaves rounding and the enlarging of chroma to the decoder; a window widens it"
    if "SegmentationType" in header:
        return "PS3.3 C.8.20: values of a segmentation are no brightness; ours shows them as they are"
    if syntax.endswith("1.2.2") and header.BitsAllocated > 16:
        return "PS3.5 7.3: big-endian words of 32 bits, whose halves DCMTK exchanges"
    if "PerFrameFunctionalGroupsSequence" in header:
        return "PS3.3 C.7.6.16.2: window and rescale stand in functional groups, which the other decoder does not read"
    if slope != 1 and levels:
        return "PS3.3 C.11.1.1.2: a rescale slope below 1, after which DCMTK rounds to whole numbers"
    if header.get("PixelPaddingValue") is not None and not windowed:
        return "PS3.3 C.7.5.1.1.2: padding is no part of the range that is shown; the other decoder counts it in"
    if syntax.endswith(".4.81"):
        return "ISO 14495-1: near-lossless JPEG-LS of signed values, which DCMTK shifts; ours is its native twin's"
    if not windowed and ours.shape == theirs.shape and np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > _LINEAR:
        return "PS3.4 N.2.1.2: no window is given, and each decoder chooses the range; the pictures are proportional"
    if header.PhotometricInterpretation == "RGB" and syntax.startswith("1.2.840.10008.1.2.4.5"):
        return "ISO 10918-5: the stream's JFIF marker says YCbCr where the header says RGB; ours follows the stream"
    return ""
