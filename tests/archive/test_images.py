"""Pictures from bytes: formats, depth, orientation, transparency, and bounds before allocation."""

import io
import struct
import subprocess
import sys
import tracemalloc
import zlib

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mcmfh.archive.codestream import webp_canvas
from mcmfh.archive.images import DecodeError, Limits, decode_image
from mcmfh.archive.stretch import stretch

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 90)).astype(np.uint8))
RAMP = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    sink = io.BytesIO()
    image.save(sink, kind, **options)
    return sink.getvalue()


def png_header(width: int, height: int, depth: int = 8, colour: int = 0) -> bytes:
    """A PNG of a few bytes that promises width × height."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_lossless_formats_come_back_unchanged(kind, mode):
    image = Image.fromarray(RAMP).convert(mode)
    decoded = decode_image(encoded(image, kind, **({"lossless": True} if kind == "WEBP" else {})), Limits())
    if kind == "WEBP" and mode == "L":  # WebP knows no grey
        image = image.convert("RGB")
    assert np.array_equal(decoded, np.asarray(image))


def test_jpeg():
    decoded = decode_image(encoded(Image.fromarray(RAMP), "JPEG", quality=95), Limits())
    assert decoded.shape == RAMP.shape
    assert np.abs(decoded.astype(int) - RAMP).max() < 8


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 70),
    st.integers(1, 70),
    st.sampled_from(["L", "RGB", "CMYK"]),
    st.integers(5, 100),
    st.integers(0, 2),
    st.booleans(),
    st.binary(max_size=3),
)
def test_a_jpeg_is_to_the_bit_what_pillow_makes_of_it(height, width, mode, quality, subsampling, progressive, damage):
    noise = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
    options = {"quality": quality, "progressive": progressive}
    options |= {"subsampling": subsampling} if mode == "RGB" else {}
    data = encoded(Image.fromarray(noise).convert(mode), "JPEG", **options)
    data = data[: len(data) // 2] + damage + data[len(data) // 2 + len(damage) :]
    try:
        image = Image.open(io.BytesIO(data))
        expected = np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, struct.error):
        with pytest.raises(DecodeError):
            decode_image(data, Limits())
        return
    if (expected == expected[0, 0]).all():
        with pytest.raises(DecodeError, match="picture is uniform"):
            decode_image(data, Limits())
    else:
        assert np.array_equal(decode_image(data, Limits()), expected)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_fill_the_grey_scale(kind):
    deep = RAMP.astype(np.uint16) * 16 + 100
    decoded = np.asarray(decode_image(encoded(Image.fromarray(deep), kind), Limits()))
    assert np.array_equal(decoded, np.rint((deep - 100) / (deep.max() - 100) * 255).astype(np.uint8))


def test_float_tiff_with_nan():
    values = RAMP.astype(np.float32) / 7
    values[0, 0], values[0, 1] = np.nan, np.inf
    decoded = np.asarray(decode_image(encoded(Image.fromarray(values), "TIFF"), Limits()))
    assert decoded[0, 0] == 0
    assert decoded[0, 1] == decoded.max() == 255


def test_stretch_of_constants_and_extremes():
    assert stretch(np.full((2, 2), 7)).max() == 0
    assert stretch(np.full((2, 2), np.nan)).max() == 0
    assert stretch(np.array([np.iinfo(np.int32).min, np.iinfo(np.int32).max])).tolist() == [0, 255]


def test_transparency_is_black_and_palettes_are_colours():
    clear = Image.new("RGBA", (2, 1), (200, 100, 50, 0))
    clear.putpixel((1, 0), (200, 100, 50, 255))
    assert np.asarray(decode_image(encoded(clear, "PNG"), Limits())).tolist() == [[[0, 0, 0], [200, 100, 50]]]
    palette = Image.new("RGB", (2, 2), (200, 100, 50))
    palette.putpixel((1, 1), (0, 0, 0))
    palette = palette.quantize(2)
    assert np.asarray(decode_image(encoded(palette, "PNG"), Limits()))[0, 0].tolist() == [200, 100, 50]
    assert decode_image(encoded(Image.fromarray(RAMP > 100), "PNG"), Limits()).shape == RAMP.shape
    assert decode_image(encoded(Image.fromarray(RAMP).convert("CMYK"), "TIFF"), Limits()).shape == (*RAMP.shape, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(kind, orientation):
    image = Image.fromarray(np.repeat(np.repeat(RAMP, 16, 0), 16, 1))
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}[orientation]  # Pillow's transpositions, EXIF 2.3 table
    expected = np.asarray(image if turned is None else image.transpose(Image.Transpose(turned)))
    decoded = np.asarray(Image.fromarray(decode_image(encoded(image, kind, exif=exif), Limits())).convert("L"))
    assert decoded.shape == expected.shape
    assert np.abs(decoded.astype(int) - expected).mean() < 8


def test_broken_exif_does_not_spoil_the_picture():
    data = encoded(Image.fromarray(RAMP), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert decode_image(data, Limits()).shape == RAMP.shape


def test_the_name_of_the_format_is_not_asked():
    with pytest.raises(DecodeError, match="not an image of a supported type"):
        decode_image(encoded(Image.fromarray(RAMP), "GIF"), Limits())


@pytest.mark.parametrize(
    ("data", "limits", "reason"),
    [
        (b"", Limits(), "file is empty"),
        (b"no image at all", Limits(), "not an image of a supported type"),
        (b"%PDF-1.7 something", Limits(), "not an image of a supported type"),
        (encoded(Image.fromarray(RAMP), "PNG"), Limits(max_bytes=20), "file is larger than the limit"),
        (encoded(Image.fromarray(RAMP), "PNG"), Limits(max_pixels=47), "image has more pixels than the limit"),
        (png_header(60_000, 60_000), Limits(), "image has more pixels than the limit"),
        (png_header(2**31 - 1, 2**31 - 1), Limits(), "image has more pixels than the limit"),
        (png_header(30_000, 3), Limits(), "image is too long and thin"),
        (png_header(100, 100), Limits(), "image is truncated"),
        (encoded(NOISE, "JPEG")[:-3000], Limits(), "image is truncated"),
        (encoded(NOISE, "PNG")[:-3000], Limits(), "image is truncated"),
        (encoded(NOISE, "PNG").replace(b"IDAT", b"IDAX"), Limits(), "not an image of a supported type"),
        (
            encoded(NOISE, "TIFF", compression="tiff_lzw").replace(b"\x80\x00", b"\xff\xff"),
            Limits(),
            "image data is corrupt",
        ),
    ],
)
def test_reasons(data, limits, reason):
    with pytest.raises(DecodeError) as caught:
        decode_image(data, limits)
    assert str(caught.value) == reason


@pytest.mark.parametrize("kind", ["TIFF", "PNG", "WEBP"])
def test_too_many_frames_and_the_first_of_several(kind):
    frames = [Image.fromarray(RAMP + n) for n in range(4)]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert np.array_equal(np.asarray(Image.fromarray(decode_image(data, Limits(max_frames=4))).convert("L")), RAMP)
    with pytest.raises(DecodeError, match="more frames"):
        decode_image(data, Limits(max_frames=3))


def tiff(tags: dict[int, int]) -> bytes:
    """A little-endian TIFF of LONG tags and a few bytes of data."""
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + body + bytes(68)


def test_bombs_cost_no_memory():
    base = {256: 16, 257: 16, 258: 8, 259: 5, 262: 1, 277: 1}
    bombs = [
        png_header(50_000, 50_000),
        tiff({**base, 256: 90_000, 257: 90_000, 273: 8, 278: 90_000, 279: 16}),
        tiff({**base, 322: 65_520, 323: 65_520, 324: 8, 325: 16}),  # one gigantic tile on a small picture
    ]
    tracemalloc.start()
    for bomb in bombs:
        with pytest.raises(DecodeError, match="more pixels"):
            decode_image(bomb, Limits())
    assert tracemalloc.get_traced_memory()[1] < 2 << 20
    tracemalloc.stop()


# TIFF whose samples are not plain bytes, written by tifffile


def written(samples: np.ndarray, **options) -> bytes:
    sink = io.BytesIO()
    tifffile.imwrite(sink, samples, **options)
    return sink.getvalue()


DEEP = np.arange(4096).reshape(64, 64)


def assert_shown(data: bytes, expected: np.ndarray) -> None:
    decoded = decode_image(data, Limits())
    assert decoded.shape == expected.shape
    assert np.abs(decoded.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "packbits"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    "samples",
    [
        (DEEP // 16 - 128).astype(np.int8),
        (DEEP - 2048).astype(np.int16),
        DEEP.astype(np.uint16),
        (DEEP.astype(np.uint32) << 20),
        (DEEP * 1000 - 7).astype(np.int32),
        (DEEP / 7 - 100).astype(np.float32),
        (DEEP / 7 - 100).astype(np.float64),
    ],
    ids=lambda samples: str(samples.dtype),
)
def test_deep_and_signed_tiff(samples, order, compression):
    data = written(samples, byteorder=order, compression=compression, photometric="minisblack")
    assert_shown(data, np.rint(DEEP // 16 if samples.itemsize == 1 else DEEP / 4095 * 255))


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
def test_colours_of_a_tiff_in_planes_and_not(depth, planar, compression):
    grey = DEEP // 16
    colours = np.stack([grey, grey[::-1], grey.T], -1)
    samples = (colours * (257 if depth == 16 else 1)).astype(f"u{depth // 8}")
    samples = np.moveaxis(samples, -1, 0) if planar == "separate" else samples
    assert_shown(written(samples, photometric="rgb", planarconfig=planar, compression=compression), colours)


def test_colours_of_a_tiff_that_use_few_of_their_bits():
    colours = np.stack([DEEP // 16, DEEP[::-1] // 16, DEEP.T // 16], -1)
    assert_shown(written(colours.astype(np.uint16), photometric="rgb"), colours)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.float32])
def test_white_is_zero(dtype):
    samples = DEEP // 16 - (128 if dtype == np.int8 else 0)
    assert_shown(written(samples.astype(dtype), photometric="miniswhite"), 255 - DEEP // 16)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_deep_tiff_is_turned_upright_as_pillow_turns_others(orientation):
    grey = (np.arange(48, dtype=np.uint8) * 5).reshape(6, 8)
    tag = [(274, "H", 1, orientation, False)]
    upright = decode_image(written(grey, photometric="minisblack", extratags=tag), Limits())
    deep = decode_image(written(grey.astype(np.uint16), photometric="minisblack", extratags=tag), Limits())
    assert np.array_equal(deep, stretch(upright))


@pytest.mark.parametrize("data", [b"\xff\x0a" + bytes(20), b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(20)])
def test_jpeg_xl_has_its_own_reason(data):
    with pytest.raises(DecodeError, match="JPEG XL is not supported"):
        decode_image(data, Limits())


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_uniform_picture_is_the_reason(kind, mode):
    options = {"lossless": True} if kind == "WEBP" else {}
    for colour in (0, 90, 255):
        image = Image.new("L", (300, 200), colour).convert(mode)
        with pytest.raises(DecodeError, match="picture is uniform"):
            decode_image(encoded(image, kind, **options), Limits())
        image.putpixel((150, 120), (colour + 128) % 256 if mode == "L" else (1, 128, 2))
        if kind != "JPEG":
            assert decode_image(encoded(image, kind, **options), Limits()).shape[:2] == (200, 300)


@pytest.mark.parametrize("value", [0, 1])
def test_a_mask_of_one_value_is_a_picture(value):
    assert (decode_image(encoded(Image.new("1", (30, 20), value), "PNG"), Limits()) == 255 * value).all()


def test_dimensions_are_weighed_against_the_size_of_the_file():
    image = Image.new("L", (4000, 4000), 0)
    for kind, options in (("WEBP", {"lossless": True}), ("TIFF", {"compression": "tiff_deflate"})):
        data = encoded(image, kind, **options)
        tight = Limits(free_pixels=1_000_000, max_pixels_per_byte=16_000_000 / len(data) - 1)
        with pytest.raises(DecodeError, match="more pixels than its file can hold"):
            decode_image(data, tight)
        with pytest.raises(DecodeError, match="picture is uniform"):
            decode_image(data, Limits(max_pixels_per_byte=16_000_000 / len(data)))
    huge = encoded(Image.new("L", (8000, 8000), 0), "WEBP", lossless=True)
    assert len(huge) < 8000**2 / 4096
    with pytest.raises(DecodeError, match="more pixels than its file can hold"):
        decode_image(huge, Limits())


def huge_webp(kind: str) -> bytes:
    """A WebP of a few bytes that states 7,900 × 7,900 pixels in the header of its kind."""
    options = {"VP8 ": {"lossless": False}, "VP8L": {"lossless": True}, "VP8X": {"lossless": True, "exif": b"Exif"}}
    data = bytearray(encoded(Image.new("RGB", (16, 16), (9, 9, 9)), "WEBP", **options[kind]))
    assert data[12:16] == kind.encode()
    if kind == "VP8 ":
        data[26:30] = struct.pack("<HH", 7900, 7900)
    elif kind == "VP8L":
        data[21:25] = (int.from_bytes(data[21:25], "little") >> 28 << 28 | 7899 << 14 | 7899).to_bytes(4, "little")
    else:
        data[24:30] = 2 * (7899).to_bytes(3, "little")
    return bytes(data)


BOUNDED = """
import resource, sys
from mcmfh.archive.images import DecodeError, Limits, decode_image
decode_image(bytes.fromhex(sys.argv[1]), Limits())  # loads what the first picture needs
most = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + 200 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (most, most))
try:
    decode_image(bytes.fromhex(sys.argv[2]), Limits())
except DecodeError as error:
    print(error)
"""


@pytest.mark.parametrize("kind", ["VP8 ", "VP8L", "VP8X"])
def test_a_webp_is_weighed_before_memory_is_taken(kind):
    """Pillow takes the canvas when it opens the file: 8 bytes a pixel, half a gigabyte here."""
    ordinary = encoded(Image.linear_gradient("L").convert("RGB"), "WEBP")
    command = [sys.executable, "-c", BOUNDED, ordinary.hex(), huge_webp(kind).hex()]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert said.stdout == "image has more pixels than its file can hold\n", said.stderr


@pytest.mark.parametrize(
    ("size", "options"),
    [
        ((37, 21), {"lossless": True}),
        ((300, 5), {"lossless": False}),
        ((64, 48), {"lossless": True, "exif": b"Exif"}),
        ((20, 60), {"save_all": True, "append_images": [Image.new("RGBA", (20, 60), (9, 0, 0, 9))]}),
    ],
)
def test_the_canvas_of_a_webp_is_the_one_pillow_reads(size, options):
    data = encoded(Image.linear_gradient("L").resize(size).convert("RGB"), "WEBP", **options)
    assert webp_canvas(data) == size == Image.open(io.BytesIO(data)).size
    assert all(webp_canvas(data[:end]) in (None, size) for end in range(len(data)))
    assert webp_canvas(b"RIFF" + data) is None


@pytest.mark.parametrize(("side", "expected"), [(4000, 4000), (4096, 2048), (7999, 4000)])
def test_a_very_large_jpeg_is_decoded_at_a_part_of_its_size(side, expected):
    small = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    image = Image.fromarray(small).resize((side, side), Image.Resampling.BILINEAR)
    decoded = decode_image(encoded(image, "JPEG", quality=95), Limits())
    assert decoded.shape == (expected, expected)
    reduced = np.asarray(image.resize((expected, expected), Image.Resampling.BOX))
    assert np.abs(decoded.astype(int) - reduced).max() <= 3


@pytest.mark.parametrize("alpha", ["assocalpha", "unassalpha", "unspecified"])
def test_grey_with_any_kind_of_alpha_is_a_picture(alpha):
    pixels = np.stack([np.resize(RAMP, (60, 60)), np.full((60, 60), 255, np.uint8)], -1)
    sink = io.BytesIO()
    tifffile.imwrite(sink, pixels, photometric="minisblack", extrasamples=[alpha])
    shown = np.asarray(decode_image(sink.getvalue(), Limits()))
    assert np.array_equal(shown if shown.ndim == 2 else shown[..., 0], pixels[..., 0])


def test_colours_that_are_multiplied_by_alpha_already_are_shown_as_they_are():
    pixels = np.zeros((60, 60, 4), np.uint8)
    pixels[..., 0], pixels[..., 3] = np.resize(RAMP, (60, 60)) // 2, 128
    for alpha, factor in (("assocalpha", 1.0), ("unassalpha", 128 / 255)):
        sink = io.BytesIO()
        tifffile.imwrite(sink, pixels, photometric="rgb", extrasamples=[alpha])
        shown = np.asarray(decode_image(sink.getvalue(), Limits())).astype(int)
        assert np.abs(shown[..., 0] - pixels[..., 0] * factor).max() <= 1


def test_a_white_page_of_a_fax_is_tiny_and_no_bomb():
    page = Image.new("1", (3307, 4677), 1)
    page.paste(0, (100, 100, 900, 130))
    data = encoded(page, "TIFF", compression="group4")
    assert len(data) * 4096 < 3307 * 4677
    assert np.asarray(decode_image(data, Limits())).mean() > 250
