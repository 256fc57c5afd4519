"""The header of a JPEG, JPEG-LS, JPEG 2000 or WebP stream: what a codec allocates by, and what is true of a frame."""

import struct
from dataclasses import dataclass

_START_OF_FRAME = {0xC0: "baseline", 0xC1: "extended", 0xC2: "progressive", 0xC3: "lossless", 0xF7: "jpeg-ls"}
_NO_FRAME = (0xC4, 0xC8, 0xCC)  # tables and extensions among the markers C0…CF


@dataclass(frozen=True)
class Codestream:
    """What a stream states of itself. `kind`: baseline, extended, progressive, lossless, jpeg-ls, jpeg-2000, other."""

    kind: str
    width: int
    height: int
    samples: int
    bits: int


def read_codestream(frame: bytes) -> Codestream | None:
    """The header of the stream in `frame`; None where none can be read."""
    start = frame.find(b"\xff\x4f\xff\x51", 0, 4096)
    if start >= 0 and not frame.startswith(b"\xff\xd8"):
        if len(frame) < start + 43:
            return None
        right, bottom, left, top = struct.unpack_from(">4I", frame, start + 8)
        samples, bits = struct.unpack_from(">HB", frame, start + 40)
        return Codestream("jpeg-2000", right - left, bottom - top, samples, (bits & 0x7F) + 1)
    for marker, position in _segments(frame):
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in _NO_FRAME):
            bits, height, width, samples = struct.unpack_from(">BHHB", frame, position + 4)
            return Codestream(_START_OF_FRAME.get(marker, "other"), width, height, samples, bits)
    return None


def webp_canvas(data: bytes) -> tuple[int, int] | None:
    """(width, height) that a WebP file states; None where `data` is none, or its header is cut.

    Of an extended file (VP8X) that is the canvas, else the size of its one picture: RFC 9649, sections 2.5 to 2.7.
    """
    if not (data.startswith(b"RIFF") and data[8:12] == b"WEBP" and len(data) >= 30):
        return None
    kind = data[12:16]
    if kind == b"VP8X":
        return (int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1)
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<2H", data, 26)
        return (width & 0x3FFF, height & 0x3FFF)
    return None


def with_whole_spectrum(frame: bytes) -> bytes:
    """A sequential JPEG whose scan headers say what they must: coefficients 0 to 63, in one pass.

    Some devices write 0 for the last coefficient (Se), and libjpeg refuses the whole stream for it.
    """
    mended = bytearray(frame)
    for marker, position in _segments(frame):
        if marker == 0xDA:
            end = position + 2 + struct.unpack_from(">H", frame, position + 2)[0]
            mended[end - 3 : end] = b"\x00\x3f\x00"
    return bytes(mended)


def _segments(frame: bytes) -> list[tuple[int, int]]:
    """(marker, position) of the segments before the first scan's data, that scan's header included."""
    found = []
    position = 2
    while frame.startswith(b"\xff\xd8") and position + 10 <= len(frame) and frame[position] == 0xFF:
        marker = frame[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        found.append((marker, position))
        if marker == 0xDA:
            break
        position += 2 + struct.unpack_from(">H", frame, position + 2)[0]
    return found
