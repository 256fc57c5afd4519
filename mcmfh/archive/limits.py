"""Limits on one input's size, checked before memory is allocated, and the exception for inputs that cannot be used."""

from dataclasses import dataclass

# What decoding a pixel of WebP, or with transparency, costs at its peak; deep samples of several colours cost more.
MOST_BYTES_A_PIXEL = 24
_FREE_BYTES = 256 * 2**20


class DecodeError(ValueError):
    """An input that cannot be used. The message is a short fixed sentence without names, paths or patient data."""


class NoReport(DecodeError):
    """A sound document that is no report, or one that was withdrawn; the message says which."""


class NotProse(NoReport):
    """Plain text that looks like a table or a listing, by rules of thumb."""


@dataclass(frozen=True)
class Limits:
    """The largest input that is decoded, and where it may lie; others are quarantined.

    roots: URIs of folders and buckets; nothing outside them is read. None: anything may be read.
    """

    max_bytes: int = 64 << 20
    max_pixels: int = 64_000_000  # of one frame
    max_frames: int = 10_000
    max_aspect: float = 100.0  # longer side / shorter side; resizing an extremely thin picture takes too much memory
    free_pixels: int = 4_000_000  # a picture with more pixels is weighed against the size of its file
    max_pixels_per_byte: float = 4096.0  # of the file; no codec packs a real picture as tightly
    refuse_burned_in: bool = False  # DICOM whose BurnedInAnnotation is not NO
    roots: tuple[str, ...] | None = None

    def check(self, width: int, height: int, frames: int = 1, size: int | None = None) -> None:
        """Raise DecodeError where a picture of `width` × `height` pixels and `frames` frames exceeds the limits.

        size: bytes that the picture is stored in; None leaves the ratio of pixels to bytes unchecked.
        """
        if width < 1 or height < 1:
            raise DecodeError("image has no area")
        if width * height > self.max_pixels:
            raise DecodeError("image has more pixels than the limit")
        if max(width, height) > self.max_aspect * min(width, height):
            raise DecodeError("image is too long and thin")
        if frames > self.max_frames:
            raise DecodeError("image has more frames than the limit")
        if size is not None and width * height > max(self.free_pixels, size * self.max_pixels_per_byte):
            raise DecodeError("image has more pixels than its file can hold")

    def check_memory(self, estimate: int) -> None:
        """Raise DecodeError where decoding takes `estimate` bytes, more than `max_pixels` of MOST_BYTES_A_PIXEL do."""
        if estimate > max(self.max_pixels * MOST_BYTES_A_PIXEL, _FREE_BYTES):
            raise DecodeError("image takes more memory than the limit")
