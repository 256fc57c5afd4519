"""Broken and hostile files without end, from a seed: honest files of every kind, cut, flipped, spliced, inflated.

As a script it decodes them in a process of its own, so that a codec that crashes is noticed, and prints what came out:

    python hostile_files.py SEED COUNT
"""

import io
import json
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from PIL import Image

from mcmfh.archive.images import DecodeError, Limits, decode_image
from mcmfh.archive.reports import read_report

LIMITS = Limits(max_bytes=4 << 20, max_pixels=4_000_000)
_DATA = Path(pydicom.__file__).parent / "data" / "test_files"
_DICOM = """
693_J2KI CT_small GDCMJ2K_TextGBR J2K_pixelrep_mismatch JPEG2000 JPEGLSNearLossless_08 JPEGLSNearLossless_16
JPGExtended MR_small MR_small_RLE MR_small_bigendian MR_small_jp2klossless MR_small_jpeg_ls_lossless
SC_jpeg_no_color_transform SC_rgb_gdcm_KY SC_rgb_jls_lossy_line SC_rgb_jpeg SC_rgb_jpeg_dcmtk
SC_rgb_rle_16bit_2frame SC_rgb_rle_32bit SC_ybr_full_422_uncompressed examples_palette image_dfl liver_1frame
rtdose_1frame test-SR reportsi
"""


@lru_cache(maxsize=1)
def honest_files() -> list[bytes]:
    """One file of every kind that is read."""
    rng = np.random.default_rng(0)
    grey = Image.fromarray(
        (np.add.outer(np.arange(120), np.arange(90)) + rng.integers(0, 20, (120, 90))).astype(np.uint8)
    )
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 200)
    kinds: list[tuple[Image.Image, str, dict[str, Any]]] = [
        (grey, "PNG", {}),
        (grey.convert("RGB"), "PNG", {"optimize": True}),
        (deep, "PNG", {}),
        (grey.quantize(16), "PNG", {"transparency": 3}),
        (grey, "JPEG", {}),
        (grey.convert("RGB"), "JPEG", {"progressive": True}),
        (grey.convert("CMYK"), "JPEG", {}),
        (grey.convert("RGB"), "WEBP", {}),
        (grey.convert("RGBA"), "WEBP", {"lossless": True}),
        (deep, "TIFF", {}),
        *((grey, "TIFF", {"compression": name}) for name in ("tiff_lzw", "tiff_deflate", "packbits")),
        (grey.convert("RGB"), "TIFF", {"compression": "jpeg"}),
    ]
    files = []
    for image, kind, options in kinds:
        sink = io.BytesIO()
        image.save(sink, kind, **options)
        files.append(sink.getvalue())
    files += [(_DATA / f"{name}.dcm").read_bytes() for name in _DICOM.split()]
    files.append(
        json.dumps(
            {"resourceType": "DiagnosticReport", "conclusion": "x", "presentedForm": [{"data": "eA=="}]}
        ).encode()
    )
    return [data for data in files if len(data) < 400_000]


def hostile_files(seed: int, count: int) -> Iterator[bytes]:
    """`count` broken files, the same for the same seed."""
    rng, honest = np.random.default_rng(seed), honest_files()
    for _ in range(count):
        data = np.frombuffer(honest[int(rng.integers(len(honest)))], np.uint8).copy()
        for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
            data = _MUTATIONS[int(rng.integers(len(_MUTATIONS)))](data, rng)
        yield data.tobytes()


def _offset(data: np.ndarray, rng: np.random.Generator) -> int:
    """Mostly in the header, where lengths and sizes are."""
    return int(rng.integers(0, max(1, len(data) if rng.random() < 0.5 else min(len(data), 2000))))


def _cut(data: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return data[: _offset(data, rng)]


def _flip(data: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    for _ in range(int(rng.integers(1, 30))):
        if len(data):
            data[_offset(data, rng)] = rng.integers(0, 256)
    return data


def _inflate(data: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lengths and sizes become enormous."""
    offset = _offset(data, rng)
    data[offset : offset + int(rng.choice([1, 2, 4]))] = rng.choice([0xFF, 0x7F, 0x80, 0x00])
    return data


def _splice(data: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    start, stop = sorted((_offset(data, rng), _offset(data, rng)))
    return np.concatenate([data[:start], data[stop:]] if rng.random() < 0.5 else [data[:stop], data[start:]])


def _swap(data: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The head of one file on the body of another."""
    honest = honest_files()
    other = np.frombuffer(honest[int(rng.integers(len(honest)))], np.uint8)
    offset = _offset(data, rng)
    return np.concatenate([data[:offset], other[offset:]])


def _garbage(data: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    keep = int(rng.integers(0, 200))
    return np.concatenate([data[:keep], rng.integers(0, 256, int(rng.integers(0, 5000)), np.uint8)])


def _codec(data: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bytes inside a compressed frame, its headers above all; the file around it stays whole."""
    whole = data.tobytes()
    start = max(whole.find(b"\xff\xd8\xff"), whole.find(b"\xff\x4f\xff\x51"), whole.find(b"\xe0\x7f\x10\x00") + 24)
    reach = int(rng.choice([64, 300, len(data)]))
    for _ in range(int(rng.integers(1, 8))):
        place = start + 2 + int(rng.integers(0, reach))
        if place < len(data):
            data[place] = rng.integers(0, 256) if rng.random() < 0.7 else rng.choice([0, 1, 0x7F, 0xFF])
    return data


_MUTATIONS = (_cut, _flip, _flip, _inflate, _inflate, _splice, _swap, _garbage, _codec, _codec, _codec)


def outcomes(seed: int, count: int) -> dict[str, Any]:
    """Reasons and "picture" with their counts, the peak of memory in MB and the slowest file in seconds."""
    found: Counter[str] = Counter()
    before, slowest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0.0
    for number, data in enumerate(hostile_files(seed, count)):
        start = time.process_time()
        for name, read in (("picture", lambda data: decode_image(data, LIMITS)), ("report", read_report)):
            try:
                read(data)
                found[name] += 1
            except DecodeError as error:
                found[str(error)] += 1
            except BaseException as error:
                raise AssertionError(f"file {number} of seed {seed}: {error!r}") from error
        slowest = max(slowest, time.process_time() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"found": found, "peak_mb": (peak - before) / 1024, "slowest_s": slowest}


if __name__ == "__main__":
    print(json.dumps(outcomes(int(sys.argv[1]), int(sys.argv[2]))))
