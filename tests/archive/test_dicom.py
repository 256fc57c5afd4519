"""The grey-scale pipeline against DICOM's formulas, and every file inside pydicom against an independent decoder."""

import io
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from support.dcmtk import SYNTAXES, dcmtk
from support.dicom_file import dicom

from mcmfh.archive.codestream import read_codestream
from mcmfh.archive.dicom import load_pydicom
from mcmfh.archive.dicom_grey import window
from mcmfh.archive.images import DecodeError, Limits, decode_image, decode_picture
from mcmfh.archive.picture import WINDOW_SHOWS_NOTHING
from mcmfh.errors import InputError

DATA = Path(pydicom.__file__).parent / "data"
FILES = sorted(
    path
    for path in DATA.rglob("*")
    if path.is_file() and (path.suffix == ".dcm" or path.read_bytes()[128:132] == b"DICM")
)


def lut(entries: list[int], first: int, bits: int) -> list:
    item = pydicom.Dataset()
    item.add_new("LUTDescriptor", "US" if first >= 0 else "SS", [len(entries), first, bits])
    item.add_new("LUTData", "US", entries)
    return [item]


def shown(data: bytes) -> np.ndarray:
    return np.asarray(decode_image(data, Limits()))


RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)


@pytest.mark.parametrize(("centre", "width"), [(2000, 400), (40.5, 1), (-500, 3000), (100, 2)])
def test_linear_window_is_the_formula_of_the_standard(centre, width):
    if width > 2:
        picture = shown(dicom(RAMP, WindowCenter=centre, WindowWidth=width, RescaleSlope=2, RescaleIntercept=-1024))
    else:  # black and white alone, in place of which the picture would be shown by its range
        picture = 255 * window(2.0 * RAMP - 1024, centre, width, "LINEAR")
    for stored in range(0, 4096, 5):  # PS3.3 C.11.2.1.2.1, word for word
        x = 2 * stored - 1024
        if x <= centre - 0.5 - (width - 1) / 2:
            expected = 0.0
        elif x > centre - 0.5 + (width - 1) / 2:
            expected = 255.0
        else:
            expected = ((x - (centre - 0.5)) / (width - 1) + 0.5) * 255
        assert abs(picture.flat[stored] - expected) <= 0.5 + 1e-6


def test_other_window_functions():
    options = {"WindowCenter": 2048, "WindowWidth": 1000}
    exact = shown(dicom(RAMP, VOILUTFunction="LINEAR_EXACT", **options)).ravel()
    assert np.abs(exact - np.clip((np.arange(4096) - 2048) / 1000 + 0.5, 0, 1) * 255).max() <= 0.5 + 1e-6
    sigmoid = shown(dicom(RAMP, VOILUTFunction="SIGMOID", **options)).ravel()
    assert np.abs(sigmoid - 255 / (1 + np.exp(-4 * (np.arange(4096) - 2048) / 1000))).max() <= 0.5 + 1e-6


def test_first_of_several_windows_and_inversion_after_it():
    options = {"WindowCenter": [1000, 3000], "WindowWidth": [500, 200]}
    first = shown(dicom(RAMP, WindowCenter=1000, WindowWidth=500))
    assert np.array_equal(shown(dicom(RAMP, **options)), first)
    assert np.array_equal(shown(dicom(RAMP, PhotometricInterpretation="MONOCHROME1", **options)), 255 - first)


@pytest.mark.parametrize(
    "window",
    [{"WindowCenter": 100}, {"WindowCenter": 0, "WindowWidth": 0}, {"WindowCenter": "", "WindowWidth": ""}, {}],
)
def test_without_a_usable_window_the_values_but_for_the_padding_fill_the_grey_scale(window):
    stored = RAMP.astype(np.int16) - 2000
    stored[:2] = -2000
    picture = shown(dicom(stored, PixelPaddingValue=-2000, **window))
    low = -2000 + 128
    assert np.array_equal(
        picture[2:].ravel(), np.rint((stored[2:].ravel() - low) / (2095 - low) * 255).astype(np.uint8)
    )
    assert (picture[:2] == 0).all()


def test_look_up_tables_clamp_at_both_ends_and_stand_before_the_window():
    modality, voi = lut([10, 20, 30, 40], 100, 16), lut([0, 85, 170, 255], 10, 8)
    stored = np.array([[0, 100, 101, 102, 103, 9000]], np.uint16)
    picture = shown(dicom(stored, ModalityLUTSequence=modality, WindowCenter=25.5, WindowWidth=31))
    assert picture[0].tolist() == [0, 0, 85, 170, 255, 255]
    stored = np.array([[-9, 10, 11, 12, 13, 500]], np.int16)
    assert shown(dicom(stored, VOILUTSequence=voi, WindowCenter=1, WindowWidth=2))[0].tolist() == [
        0,
        0,
        85,
        170,
        255,
        255,
    ]


def test_bits_above_the_stored_ones_are_not_looked_at():
    dirty = (RAMP | 0xF000).astype(np.uint16)
    assert np.array_equal(shown(dicom(dirty, BitsStored=12, HighBit=11)), shown(dicom(RAMP)))
    signed = RAMP.astype(np.int16) - 2048
    assert np.array_equal(
        shown(dicom((signed & 0x0FFF).astype(np.int16), BitsStored=12, HighBit=11)), shown(dicom(RAMP))
    )


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_the_middle_frame(frames):
    stack = np.stack([np.where(np.eye(8), 10 + n, 0) for n in range(frames)]).astype(np.uint8)
    assert shown(dicom(stack, WindowCenter=128, WindowWidth=256)).max() == 10 + frames // 2


def test_windows_of_enhanced_objects_come_from_the_frame():
    def group(centre: float) -> pydicom.Dataset:
        window, macro = pydicom.Dataset(), pydicom.Dataset()
        window.WindowCenter, window.WindowWidth = centre, 101
        macro.FrameVOILUTSequence = [window]
        return macro

    stack = np.stack([RAMP % 4000] * 3)
    data = dicom(stack, PerFrameFunctionalGroupsSequence=[group(50), group(1050), group(2050)])
    assert np.array_equal(shown(data), shown(dicom(RAMP % 4000, WindowCenter=1050, WindowWidth=101)))


def test_colour_of_eight_and_sixteen_bits():
    colours = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    assert np.array_equal(shown(dicom(colours)), colours)
    assert np.array_equal(shown(dicom(colours.astype(np.uint16) << 8)), colours)


def test_float_pixels():
    stored = np.linspace(-3, 5, 64, dtype=np.float32).reshape(8, 8)
    data = dicom(stored.view(np.uint32), FloatPixelData=stored.tobytes(), PixelData=None)
    dataset = pydicom.dcmread(io.BytesIO(data))
    del dataset.PixelData
    sink = io.BytesIO()
    dataset.save_as(sink)
    assert np.array_equal(shown(sink.getvalue()), np.rint((stored + 3) / 8 * 255).astype(np.uint8))


def test_burned_in_annotation_policy():
    strict = Limits(refuse_burned_in=True)
    assert decode_image(dicom(RAMP, BurnedInAnnotation="NO"), strict).size
    for attributes in ({}, {"BurnedInAnnotation": "YES"}):
        assert decode_image(dicom(RAMP, **attributes), Limits()).size
        with pytest.raises(DecodeError, match="BurnedInAnnotation is not NO"):
            decode_image(dicom(RAMP, **attributes), strict)


def test_bounds_from_the_header():
    for attributes, reason in (
        ({"Rows": 65_000, "Columns": 65_000}, "image has more pixels than the limit"),
        ({"NumberOfFrames": 1_000_000}, "image has more frames than the limit"),
        ({"Rows": 0}, "image has no area"),
        ({"Rows": 4000, "Columns": 4000}, "DICOM pixel data is shorter than its header states"),
        ({"SamplesPerPixel": 2}, "DICOM samples per pixel are neither 1 nor 3"),
    ):
        with pytest.raises(DecodeError) as caught:
            decode_image(dicom(RAMP, **attributes), Limits())
        assert str(caught.value) == reason


def test_a_compressed_frame_is_bounded_by_its_own_header():
    for kind in ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.80"):  # JPEG 2000, JPEG-LS
        try:
            data = dicom(RAMP, compress=kind)
        except (RuntimeError, NotImplementedError):
            continue
        dataset = pydicom.dcmread(io.BytesIO(data))
        frame = pydicom.encaps.get_frame(dataset.PixelData, 0, number_of_frames=1)
        header = read_codestream(frame)
        assert (header.width, header.height, header.samples, header.bits) == (64, 64, 1, 16)
        place = data.index(frame) + frame.index((64).to_bytes(4 if frame[1] == 0x4F else 2, "big"))
        huge = (60_000).to_bytes(4 if frame[1] == 0x4F else 2, "big")
        with pytest.raises(DecodeError):
            decode_image(data[:place] + huge * 2 + data[place + 2 * len(huge) :], Limits())
    jpeg = io.BytesIO()
    Image.fromarray(np.zeros((30, 50), np.uint8)).save(jpeg, "JPEG", progressive=True)
    header = read_codestream(jpeg.getvalue())
    assert (header.kind, header.width, header.height) == ("progressive", 50, 30)
    assert read_codestream(b"\xff\xd8") is read_codestream(b"") is None


def test_a_deflated_bomb_is_not_inflated():
    plain = dicom(RAMP)
    head = 144 + int.from_bytes(plain[140:144], "little")
    old, new = b"UI\x14\x001.2.840.10008.1.2.1\0", b"UI\x16\x001.2.840.10008.1.2.1.99"
    meta = plain[:head].replace(old, new)
    meta = meta[:140] + (len(meta) - 144).to_bytes(4, "little") + meta[144:]

    def deflated(body: bytes) -> bytes:
        squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
        return meta + squeeze.compress(body) + squeeze.flush()

    assert decode_image(deflated(plain[head:]), Limits()).shape == (64, 64)
    with pytest.raises(DecodeError, match="file is larger than the limit"):
        decode_image(deflated(bytes(100 << 20)), Limits())


def test_without_a_preamble():
    with_preamble = dicom(RAMP)
    assert np.array_equal(shown(with_preamble[132:]), shown(with_preamble))


def test_without_pydicom_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydicom", None)
    load_pydicom.cache_clear()
    with pytest.raises(InputError, match=r"pip install 'mcmfh\[dicom\]'"):
        decode_image(dicom(RAMP), Limits())
    load_pydicom.cache_clear()


def test_nothing_of_a_header_reaches_the_log():
    script = (
        "import logging, sys; logging.basicConfig(level=logging.INFO)\n"
        "from mcmfh.archive.images import DecodeError, Limits, decode_image\n"
        "for path in sys.argv[1:]:\n"
        "    try: decode_image(open(path, 'rb').read(), Limits())\n"
        "    except DecodeError: pass\n"
    )
    noisy = [path for path in FILES if path.name in ("badVR.dcm", "MR_truncated.dcm", "SC_rgb_jpeg.dcm", "chrH32.dcm")]
    run = subprocess.run([sys.executable, "-c", script, *noisy], capture_output=True, text=True, check=True)
    assert run.stdout == ""
    assert run.stderr == ""


UNREADABLE = {
    "JPEG2000-embedded-sequence-delimiter.dcm": "image has more pixels than the limit",  # says 3.7 million columns
    "MR_truncated.dcm": "DICOM pixel data is shorter than its header states",
    "meta_missing_tsyntax.dcm": "DICOM object states neither Rows nor Columns",
    "nested_priv_SQ.dcm": "DICOM object states neither Rows nor Columns",
    "no_meta.dcm": "not an image of a supported type",  # begins in the middle of an element
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DATA)))
def test_every_file_inside_pydicom_is_a_picture_or_a_reason(path):
    expected = UNREADABLE.get(path.name)
    header = pydicom.dcmread(path, stop_before_pixels=False, force=True)
    if not expected and not any(name in header for name in ("PixelData", "FloatPixelData")):
        expected = "DICOM object has no pixel data"
    if expected:
        with pytest.raises(DecodeError) as caught:
            decode_image(path.read_bytes(), Limits())
        assert str(caught.value) == expected
    else:
        picture = decode_image(path.read_bytes(), Limits())
        grey = header.PhotometricInterpretation.startswith("MONO")
        assert picture.shape == ((header.Rows, header.Columns) if grey else (header.Rows, header.Columns, 3))


NOT_COMPARED = {
    "badVR.dcm",  # NumberOfFrames is "1A", which pydicom refuses when the test asks for it
    "SC_rgb_jpeg.dcm",  # implicit VR where explicit is promised: DCMTK stops
    "rtdose_expb.dcm",  # DCMTK swaps big-endian words of 32 bits by halves; compared with its twin below
    "rtdose_expb_1frame.dcm",
}


def comparable() -> list[Path]:
    """The files inside pydicom that hold a picture in a transfer syntax that DCMTK decodes; none without DCMTK."""
    found = []
    for path in FILES if shutil.which("dcmj2pnm") else []:
        header = pydicom.dcmread(path, force=True)
        syntax = header.file_meta.get("TransferSyntaxUID", "1.2.840.10008.1.2")
        if path.name not in {*NOT_COMPARED, *UNREADABLE} and syntax in SYNTAXES and "PixelData" in header:
            found.append(path)
    return found


@pytest.mark.parametrize("path", comparable(), ids=lambda path: str(path.relative_to(DATA)))
def test_pictures_are_those_of_dcmtk(path, tmp_path):
    ours = decode_picture(path.read_bytes(), Limits())
    header = pydicom.dcmread(path, force=True)
    expected = dcmtk(path, header, tmp_path / "picture.pnm", by_range=ours.note == WINDOW_SHOWS_NOTHING)
    assert np.abs(ours.pixels.astype(int) - expected).max() <= 3  # lossy JPEG and YBR conversions round differently


@pytest.mark.parametrize("name", ["rtdose_expb.dcm", "rtdose_expb_1frame.dcm"])
def test_big_endian_words_of_32_bits_are_those_of_the_little_endian_twin(name):
    twin = DATA / "test_files" / name.replace("_expb", "")
    assert np.array_equal(shown((DATA / "test_files" / name).read_bytes()), shown(twin.read_bytes()))
