"""What an input may cost, checked before it is paid, and the one exception for inputs that cannot be used."""

from dataclasses import dataclass


class DecodeError(ValueError):
    """An input that cannot be used. The message is a short fixed sentence without names, paths or patient data."""


@dataclass(frozen=True)
class Limits:
    """What an input may cost, and what it may contain."""

    max_bytes: int = 64 << 20
    max_pixels: int = 64_000_000  # of one frame
    max_frames: int = 10_000
    max_aspect: float = 100.0  # longer side / shorter side: resizing a thread would cost what the bound on pixels saved
    free_pixels: int = 4_000_000  # a picture beyond these is weighed against the size of its file
    max_pixels_per_byte: float = 4096.0
    refuse_burned_in: bool = False  # DICOM whose BurnedInAnnotation is not NO

    def check(self, width: int, height: int, frames: int = 1, size: int | None = None) -> None:
        """Raises DecodeError where a header promises more than is allowed, or more than `size` bytes can hold."""
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
