"""Small query images that say they are huge: refused before a decoder takes memory, several at once too."""

import io
import os
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from support.serving_config import served

from mcmfh.processes import peak_resident_bytes
from mcmfh.serving.access_log import AccessLog
from mcmfh.serving.application import application
from mcmfh.serving.replica import Replica

SIDE = 7_900  # its square is within archive.max_pixels


def saved(kind: str, **options) -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", (16, 16), (9, 9, 9)).save(sink, kind, **options)
    return sink.getvalue()


def webp(lossless: bool) -> bytes:
    """16 × 16 equal pixels, which in a lossless WebP take no bit each: the size can be any."""
    data = bytearray(saved("WEBP", lossless=lossless))
    if lossless:
        bits = int.from_bytes(data[21:25], "little")
        data[21:25] = (bits >> 28 << 28 | (SIDE - 1) << 14 | (SIDE - 1)).to_bytes(4, "little")
    else:
        data[26:30] = struct.pack("<HH", SIDE, SIDE)
    return bytes(data)


def png() -> bytes:
    data = bytearray(saved("PNG"))
    data[16:24] = struct.pack(">II", SIDE, SIDE)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def jpeg() -> bytes:
    data = bytearray(saved("JPEG", progressive=True))
    at = data.index(b"\xff\xc2")
    data[at + 5 : at + 9] = struct.pack(">HH", SIDE, SIDE)
    return bytes(data)


def tiff() -> bytes:
    data = bytearray(saved("TIFF", compression="tiff_deflate"))
    count = struct.unpack_from("<H", data, at := struct.unpack_from("<I", data, 4)[0])[0]
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        if struct.unpack_from("<H", data, entry)[0] in (256, 257, 278):  # width, length, rows of a strip
            struct.pack_into("<HII", data, entry + 2, 4, 1, SIDE)
    return bytes(data)


HUGE = {"lossless WebP": webp(True), "WebP": webp(False), "PNG": png(), "JPEG": jpeg(), "TIFF": tiff()}


@pytest.fixture
def client(archive):
    with TestClient(application(Replica(served(archive), AccessLog(io.StringIO()))), "http://localhost") as client:
        client.post("/v1/hash", files={"image": saved("PNG")})  # loads what the first image needs
        yield client


@pytest.mark.parametrize("image", HUGE.values(), ids=HUGE)
def test_a_small_file_of_huge_dimensions_takes_no_memory(client, image):
    assert len(image) < 1500
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = peak_resident_bytes(os.getpid())
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: client.post("/v1/hash", files={"image": image}), range(16)))
    assert {answer.status_code for answer in answers} == {422}
    assert peak_resident_bytes(os.getpid()) - before < 200 * 2**20
    assert client.get("/healthz").status_code == 200
