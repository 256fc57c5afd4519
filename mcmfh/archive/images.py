"""Decodes the bytes of an image file into an 8-bit picture.

A DecodeError carries a reason that holds no patient data and may be shown to anybody. The format is recognised from the
bytes, never from the file's name. Limits are checked against the header before pixels are allocated, so that a file of
a few bytes cannot take gigabytes; all threads of a process decode within one memory budget.
"""

import io
import struct

import numpy as np
import simplejpeg
from PIL import Image, UnidentifiedImageError

from mcmfh.archive.codestream import webp_canvas
from mcmfh.archive.deep_tiff import decode_deep_tiff
from mcmfh.archive.dicom_signature import looks_like_dicom
from mcmfh.archive.limits import MOST_BYTES_A_PIXEL, DecodeError, Limits
from mcmfh.archive.memory import DECODING, MemoryBudget
from mcmfh.archive.picture import Picture, refuse_uniform
from mcmfh.archive.stretch import stretch

__all__ = ["DECODE_POLICY", "DecodeError", "Limits", "decode_image", "decode_picture", "looks_like_dicom"]

# Part of the encoder digest. Raise it with every change that gives other pixels for the same bytes.
DECODE_POLICY = "decode-5"
_FORMATS = ("PNG", "JPEG", "TIFF", "WEBP")
_JPEG_XL = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")  # a bare codestream, a container
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TILE_SIZE = (322, 323)  # TIFF tags
# What decoding and converting a pixel costs at its peak, by Pillow's mode.
_BYTES_A_PIXEL = {"1": 3, "L": 3, "RGB": 12}
_MOST_JPEG_PIXELS = 16_000_000


def decode_image(data: bytes, limits: Limits) -> np.ndarray:
    """The pixels of `decode_picture`: uint8[H, W] (grey) or uint8[H, W, 3] (RGB)."""
    return decode_picture(data, limits).pixels


def decode_picture(data: bytes, limits: Limits, budget: MemoryBudget = DECODING) -> Picture:
    """The picture in `data` (PNG, JPEG, TIFF, WebP or DICOM), upright and in 8 bits.

    Samples of more than 8 bits are stretched linearly from their least to their greatest value; colours keep their
    highest 8 bits. Transparency is composed onto black. Of several frames the first is decoded (DICOM: the middle one).
    A JPEG of more than 16 million pixels is decoded at a half, a quarter or an eighth of its size. Raises DecodeError
    where `data` is no picture of these formats, exceeds `limits`, or has equal pixels throughout and is no mask.

    budget: the memory that the decoders of all threads share; the call waits until the picture fits.
    """
    if not data:
        raise DecodeError("file is empty")
    if len(data) > limits.max_bytes:
        raise DecodeError("file is larger than the limit")
    if looks_like_dicom(data):
        from mcmfh.archive.dicom import decode_dicom

        return decode_dicom(data, limits, budget)
    if data.startswith(_JPEG_XL):
        raise DecodeError("JPEG XL is not supported")
    for decode in (_plain_jpeg, decode_deep_tiff):
        if (pixels := decode(data, limits, budget)) is not None:
            return Picture(pixels)
    return Picture(_by_pillow(data, limits, budget))


def _by_pillow(data: bytes, limits: Limits, budget: MemoryBudget) -> np.ndarray:
    try:
        # Pillow takes memory for the whole canvas of a WebP when it opens it, and for others when it loads them.
        if canvas := webp_canvas(data):
            limits.check(*canvas, size=len(data))
            with budget.reserve(canvas[0] * canvas[1] * MOST_BYTES_A_PIXEL):
                return _loaded(Image.open(io.BytesIO(data), formats=_FORMATS), limits)
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
        limits.check(*image.size, size=len(data) * (8 if image.mode == "1" else 1))  # a white page of a fax is tiny
        with budget.reserve(image.width * image.height * _BYTES_A_PIXEL.get(image.mode, MOST_BYTES_A_PIXEL)):
            return _loaded(image, limits)
    except DecodeError:
        raise
    except UnidentifiedImageError:
        raise DecodeError("not an image of a supported type") from None
    except Image.DecompressionBombError:
        raise DecodeError("image has more pixels than the limit") from None
    except Exception as error:  # codecs raise OSError, SyntaxError, struct.error and more; each means a bad file
        truncated = "truncated" in str(error) or isinstance(error, EOFError)
        raise DecodeError("image is truncated" if truncated else "image data is corrupt") from None


def _loaded(image: Image.Image, limits: Limits) -> np.ndarray:
    _check_frames_and_tiles(image, limits)
    image.load()
    pixels = np.asarray(_eight_bit(_upright(image)))
    if image.mode != "1":  # a mask may have one value
        refuse_uniform(pixels)
    return pixels


def _plain_jpeg(data: bytes, limits: Limits, budget: MemoryBudget) -> np.ndarray | None:
    """The same pixels as Pillow's, in half the time, for a plain JPEG; None where Pillow must decode the file.

    That is: an EXIF block (which may ask for a rotation), several pictures, CMYK, a corrupt stream, or a size beyond
    the limits.
    """
    if not data.startswith(b"\xff\xd8\xff") or b"Exif\0" in data or b"MPF\0" in data:
        return None
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        limits.check(width, height, size=len(data))
        space = {"Gray": "GRAY", "YCbCr": "RGB", "RGB": "RGB"}.get(colours)
        if space is None:
            return None
        part = _reduction(width, height)
        with budget.reserve(width * height * (3 if space == "GRAY" else 9)):
            least = {"min_width": -(-width // part), "min_height": -(-height // part)}
            pixels: np.ndarray = simplejpeg.decode_jpeg(data, space, **least)
    except ValueError:
        return None
    pixels = pixels[..., 0] if space == "GRAY" else pixels
    refuse_uniform(pixels)
    return pixels


def _reduction(width: int, height: int) -> int:
    """The divisor of both sides, of those that a JPEG decoder can do, at which a picture is small enough."""
    return next((part for part in (1, 2, 4) if width * height <= _MOST_JPEG_PIXELS * part**2), 8)


def _check_frames_and_tiles(image: Image.Image, limits: Limits) -> None:
    if image.format == "TIFF":
        tile = [int(image.tag_v2.get(tag, 1)) for tag in _TILE_SIZE]  # type: ignore[attr-defined]
        if tile[0] * tile[1] > max(limits.max_pixels, 1 << 20):
            raise DecodeError("image has more pixels than the limit")
        try:  # `n_frames` would read every frame; seeking stops at the limit
            image.seek(limits.max_frames)
        except EOFError:
            image.seek(0)
        else:
            raise DecodeError("image has more frames than the limit")
    elif getattr(image, "n_frames", 1) > limits.max_frames:
        raise DecodeError("image has more frames than the limit")


def _upright(image: Image.Image) -> Image.Image:
    if "exif" not in image.info:  # Pillow applies a TIFF's orientation while it loads
        return image
    try:
        turn = _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    except (ValueError, SyntaxError, OSError, KeyError, TypeError, struct.error):
        return image  # the EXIF block is broken, the picture is not
    return image.transpose(turn) if turn is not None else image


def _eight_bit(image: Image.Image) -> Image.Image:
    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        return image
    if image.mode.startswith(("I", "F")):
        return Image.fromarray(stretch(np.asarray(image)))
    if image.mode in ("La", "RGBa"):  # the colours are multiplied by alpha already
        image = image.convert(image.mode.upper())
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image).convert("RGB")
    return image.convert("L" if image.mode == "1" else "RGB")
