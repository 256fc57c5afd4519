"""Attributes that contradict the pixels, by kind: the right picture is stated for each, on files made here."""

import io
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.tag import Tag
from support.changed_attributes import table
from support.dicom_file import as_encoded, dicom

from mcmfh.archive.images import DecodeError, Limits, decode_picture, looks_like_dicom
from mcmfh.archive.picture import WINDOW_SHOWS_NOTHING

RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)
WHOLE = {"WindowCenter": 2048, "WindowWidth": 4096}
FIRST = {"SpecificCharacterSet": "ISO_IR 100", "Modality": "CT", "PatientSex": "F", "KVP": 120, "InstanceNumber": 1}
XA, XRF = "1.2.840.10008.5.1.4.1.1.12.1", "1.2.840.10008.5.1.4.1.1.12.2"
SEGMENTATION, LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"


def shown(data: bytes) -> np.ndarray:
    return decode_picture(data, Limits()).pixels.astype(int)


def scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.rint(np.clip((values.astype(float) - low) / (high - low), 0, 1) * 255)


def assert_shown(data: bytes, expected: np.ndarray, within: int = 1) -> None:
    picture = shown(data)
    assert picture.shape == expected.shape
    assert np.abs(picture - expected).max() <= within


def changed(data: bytes, change) -> bytes:
    """The file after change(dataset), written in its own encoding."""
    dataset = pydicom.dcmread(io.BytesIO(data))
    change(dataset)
    return as_encoded(dataset)


def raw(data: bytes, **values: tuple[str, bytes]) -> bytes:
    """The file with elements of any bytes, legal or not: keyword=(VR, value)."""

    def change(dataset: Dataset) -> None:
        for keyword, (vr, value) in values.items():
            tag = Tag(keyword)
            value += b" " * (len(value) % 2)
            dataset[tag] = RawDataElement(tag, vr, len(value), value, 0, *dataset.original_encoding)

    return changed(data, change)


def lut_item(count: int, first: int, bits: int, data: bytes, vr: str = "OW") -> list[Dataset]:
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [count, first, bits])
    item.add_new("LUTData", vr, data)
    return [item]


def big_endian(data: bytes) -> bytes:
    """The file in explicit VR big endian."""
    dataset = pydicom.dcmread(io.BytesIO(data))
    for element in dataset.iterall():
        if element.VR == "OW" or (element.VR == "US or SS" and isinstance(element.value, bytes)):
            element.value = np.frombuffer(element.value, "<u2").astype(">u2").tobytes()
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.2"
    sink = io.BytesIO()
    pydicom.dcmwrite(sink, dataset, implicit_vr=False, little_endian=False)
    return sink.getvalue()


# Look-up tables


@pytest.mark.parametrize(("stated", "meant"), [(16, 12), (16, 10), (12, 8), (8, 12), (0, 12), (99, 12), (12, 12)])
def test_a_voi_table_fills_the_grey_scale_whatever_bits_are_stated(stated, meant):
    entries = [value >> (12 - meant) for value in range(4096)]
    assert_shown(dicom(RAMP, VOILUTSequence=table(entries, 0, stated)), scaled(RAMP, 0, 4095), within=256 >> meant - 8)


@pytest.mark.parametrize("first", [-1024, 64512])
def test_the_first_value_of_a_table_has_a_sign_where_the_values_have_one(first):
    stored = RAMP.astype(np.int16) - 1024
    assert_shown(dicom(stored, VOILUTSequence=table(list(range(4096)), first, 12)), scaled(RAMP, 0, 4095))
    modality = dicom(stored, ModalityLUTSequence=table(list(range(4096)), first, 12), **WHOLE)
    assert_shown(modality, scaled(RAMP, 0, 4095))
    rescaled = dicom(RAMP, RescaleIntercept=-1024, VOILUTSequence=table(list(range(4096)), first, 12))
    assert_shown(rescaled, scaled(RAMP, 0, 4095))


def test_the_first_value_of_a_table_has_no_sign_where_the_values_have_none():
    stored = RAMP + np.uint16(40000)
    assert_shown(dicom(stored, VOILUTSequence=table(list(range(4096)), 40000, 12)), scaled(RAMP, 0, 4095))
    written_signed = dicom(stored, VOILUTSequence=table(list(range(4096)), 40000 - 65536, 12))
    assert_shown(written_signed, scaled(RAMP, 0, 4095))


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("layout", ["in words", "packed"])
def test_entries_of_eight_bits(layout, order):
    entries = (np.arange(256) ^ 255).astype(np.uint8)
    data = entries.astype("<u2").tobytes() if layout == "in words" else entries.tobytes()
    stored = (RAMP // 16).astype(np.uint8)
    file = dicom(stored, VOILUTSequence=lut_item(256, 0, 8, data))
    assert_shown(big_endian(file) if order == "big" else file, 255 - stored.astype(int))


def test_no_entries_stated_are_65536():
    stored = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)
    entries = np.arange(65535, -1, -1, dtype="<u2")
    assert_shown(dicom(stored, VOILUTSequence=lut_item(0, 0, 16, entries.tobytes())), 255 - scaled(stored, 0, 65535))


def test_a_wrong_number_of_entries_does_not_cut_the_table():
    entries = np.arange(4096, dtype="<u2")
    for count in (1, 100, 60_000):
        assert_shown(dicom(RAMP, VOILUTSequence=lut_item(count, 0, 12, entries.tobytes())), scaled(RAMP, 0, 4095))


@pytest.mark.parametrize("name", ["ModalityLUTSequence", "VOILUTSequence"])
def test_an_empty_item_is_no_table(name):
    empty, without_data = Dataset(), Dataset()
    without_data.add_new("LUTDescriptor", "US", [4096, 0, 12])
    for items in ([], [empty], [without_data], [empty, *table(list(range(4096)), 0, 12)]):
        assert_shown(dicom(RAMP, **{name: items}, **WHOLE), scaled(RAMP, 0, 4095))


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize(
    ("stated", "entries"),
    [(16, np.arange(256) * 257), (16, np.arange(256) * 256), (8, np.arange(256)), (16, np.arange(256))],
)
def test_palettes_of_words(stated, entries, order):
    stored = (RAMP // 16).astype(np.uint8)
    attributes = {}
    for colour, shift in (("Red", 0), ("Green", 1), ("Blue", 2)):
        attributes[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, stated]
        attributes[f"{colour}PaletteColorLookupTableData"] = np.roll(entries, shift).astype("<u2").tobytes()
    file = dicom(stored, PhotometricInterpretation="PALETTE COLOR", **attributes)
    expected = np.stack([np.roll(np.arange(256), shift)[stored] for shift in range(3)], -1)
    assert_shown(big_endian(file) if order == "big" else file, expected)


def test_packed_palettes_with_a_first_value_and_a_sign():
    stored = (RAMP // 16).astype(np.int16) - 128

    def add_tables(dataset: Dataset) -> None:
        for colour in ("Red", "Green", "Blue"):
            name = f"{colour}PaletteColorLookupTable"
            words = np.array([256, 65536 - 128, 8], "<u2").tobytes()
            dataset[name + "Descriptor"] = RawDataElement(Tag(name + "Descriptor"), "US", 6, words, 0, False, True)
            dataset.add_new(name + "Data", "OW", bytes(range(256)))

    file = dicom(stored, PhotometricInterpretation="PALETTE COLOR")
    assert_shown(changed(file, add_tables), np.stack([stored + 128] * 3, -1))


def test_a_palette_that_is_missing_is_the_reason():
    with pytest.raises(DecodeError, match="palette cannot be read"):
        shown(dicom(RAMP, PhotometricInterpretation="PALETTE COLOR"))


# Padding


@pytest.mark.parametrize(
    ("stored_padding", "stated"),
    [(-2000, ("US", 63536)), (-2000, ("SS", -2000)), (-1, ("US", 65535)), (-32768, ("US", 32768))],
)
def test_padding_with_and_without_a_sign(stored_padding, stated):
    values = (RAMP % 1000).astype(np.int16)
    values[:8] = stored_padding
    vr, number = stated
    data = raw(dicom(values), PixelPaddingValue=(vr, (number % 65536).to_bytes(2, "little")))
    expected = scaled(values, 0, 999)
    assert_shown(data, expected)


def test_padding_of_twelve_bits_written_in_sixteen():
    values = (RAMP % 1000).astype(np.int16)
    values[:8] = -2000
    data = dicom((values & 0x0FFF).astype(np.int16), BitsStored=12, HighBit=11)
    assert_shown(raw(data, PixelPaddingValue=("US", (63536).to_bytes(2, "little"))), scaled(values, 0, 999))


@pytest.mark.parametrize(("value", "limit"), [(0, 16), (16, 0), (65535, 65000)])
def test_padding_is_a_range(value, limit):
    values = RAMP % 1000 + 1000
    values[:16] = np.linspace(value, limit, 16 * 64).reshape(16, 64).astype(np.uint16)
    picture = shown(dicom(values, PixelPaddingValue=value, PixelPaddingRangeLimit=limit))
    assert picture[16:].min() == 0
    assert picture[16:].max() == 255


def test_padding_of_floats():
    values = np.linspace(0, 1, 4096, dtype=np.float32).reshape(64, 64)
    values[:4] = -1e6
    data = float_file(values, FloatPixelPaddingValue=-1e6)
    assert_shown(data, scaled(values, values[4:].min(), 1))


@pytest.mark.parametrize(("padding", "value"), [(0, 7), (0, 255), (255, 0), (10, 9)])
def test_one_value_beside_padding_is_seen(padding, value):
    stored = np.full((16, 16), padding, np.uint8)
    stored[4:9, 4:9] = value
    expected = scaled(stored, min(padding, value), max(padding, value))
    assert_shown(dicom(stored, PixelPaddingValue=padding), expected)


# Modality transformation, window, presentation


@pytest.mark.parametrize("slope", [b"0", b"0.0", b"abc", b"", b"nan"])
def test_a_slope_without_meaning_is_one(slope):
    data = raw(dicom(RAMP, **WHOLE), RescaleSlope=("DS", slope), RescaleIntercept=("DS", b"0"))
    assert_shown(data, scaled(RAMP, 0, 4095))


@pytest.mark.parametrize("sop_class", [XA, XRF])
def test_the_window_of_angiography_is_in_stored_values(sop_class):
    inverse = table(list(range(4095, -1, -1)), 0, 12)
    assert_shown(dicom(RAMP, SOPClassUID=sop_class, ModalityLUTSequence=inverse, **WHOLE), scaled(RAMP, 0, 4095))
    assert_shown(dicom(RAMP, ModalityLUTSequence=inverse, **WHOLE), 255 - scaled(RAMP, 0, 4095))


@pytest.mark.parametrize(
    ("photometric", "shape", "inverted"),
    [
        ("MONOCHROME2", "INVERSE", True),
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME1", "INVERSE", True),
        ("MONOCHROME1", "IDENTITY", False),
        ("MONOCHROME1", "", True),
    ],
)
def test_the_presentation_shape_decides_what_is_white(photometric, shape, inverted):
    attributes = {"PresentationLUTShape": shape} if shape else {}
    expected = scaled(RAMP, 0, 4095)
    data = dicom(RAMP, PhotometricInterpretation=photometric, **attributes, **WHOLE)
    assert_shown(data, 255 - expected if inverted else expected)


@pytest.mark.parametrize(
    ("centre", "width", "low", "high"),
    [
        (b"2048,5", b"4096", 0.5, 4095.5),
        (b"2.048,5", b"4,096.0", 0.5, 4095.5),
        (b" 2048.5 ", b"+4.096e3", 0.5, 4095.5),
        (b"2048.5HU", b"4096 ", 0.5, 4095.5),
        (b"\\2048.5", b"\\4096", 0.5, 4095.5),
        (b"abc", b"4096", 0, 4095),
        (b"40", b"-5", 0, 4095),
    ],
)
def test_a_window_is_read_as_far_as_it_can_be(centre, width, low, high):
    data = raw(dicom(RAMP), WindowCenter=("DS", centre), WindowWidth=("DS", width))
    assert_shown(data, scaled(RAMP, low, high))


@pytest.mark.parametrize(
    "attributes",
    [
        {"WindowCenter": 60000, "WindowWidth": 10},
        {"WindowCenter": -60000, "WindowWidth": 10},
        {"WindowCenter": 2048, "WindowWidth": 1},
        {"WindowCenter": 0.5, "WindowWidth": 1, "VOILUTFunction": "LINEAR_EXACT"},
        {"VOILUTSequence": table([5, 5, 5], 0, 8)},
        {"VOILUTSequence": table(list(range(100)), 50000, 8)},
        {"RescaleIntercept": "1e30"},
        {"ModalityLUTSequence": table([7, 7], 0, 8)},
    ],
)
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_what_shows_nothing_is_shown_by_its_range_and_said(attributes, photometric):
    stored = RAMP.copy()
    stored[:2] = 65535
    data = dicom(stored, PixelPaddingValue=65535, PhotometricInterpretation=photometric, **attributes)
    picture = decode_picture(data, Limits())
    expected = scaled(stored, 128, 4095)
    expected = 255 - expected if photometric == "MONOCHROME1" else expected
    assert np.abs(picture.pixels[2:] - expected[2:]).max() <= 1
    assert picture.note == WINDOW_SHOWS_NOTHING


def test_a_picture_of_two_values_is_left_to_its_window():
    stored = np.where(RAMP % 64 < 32, 0, 4000).astype(np.uint16)
    picture = decode_picture(dicom(stored, WindowCenter=2000, WindowWidth=8000), Limits())
    assert sorted(np.unique(picture.pixels)) == [64, 191]
    assert picture.note is None


def test_a_few_bright_specks_do_not_make_a_picture_of_a_black_one():
    stored = np.resize(RAMP, (200, 200))
    window = {"WindowCenter": 30_000, "WindowWidth": 1000}
    stored[0, :10] = np.linspace(29_600, 30_400, 10)
    assert decode_picture(dicom(stored, **window), Limits()).note == WINDOW_SHOWS_NOTHING


def test_an_ordinary_window_is_not_doubted():
    for attributes in (WHOLE, {"WindowCenter": 100, "WindowWidth": 50}, {}):
        assert decode_picture(dicom(RAMP, **attributes), Limits()).note is None


@pytest.mark.parametrize("attributes", [{}, WHOLE, {"WindowCenter": 7, "WindowWidth": 3}])
@pytest.mark.parametrize("value", [0, 7, 65535])
def test_a_uniform_picture_is_the_reason(value, attributes):
    for stored in (np.full((16, 16), value, np.uint16), np.full((16, 16, 3), value, np.uint16)):
        with pytest.raises(DecodeError, match="picture is uniform"):
            shown(dicom(stored, **attributes))


# Bits


@pytest.mark.parametrize(("stored", "high"), [(12, 15), (10, 15), (12, 13), (8, 11), (12, 11), (14, 15)])
@pytest.mark.parametrize("signed", [False, True])
def test_values_end_with_the_high_bit(stored, high, signed):
    values = RAMP % (1 << stored) if stored < 12 else RAMP
    meant = values.astype(int) - (1 << stored - 1 if signed else 0)
    words = (meant.astype(np.int64) << (high + 1 - stored)) & 0xFFFF
    data = words.astype(np.uint16).view(np.int16 if signed else np.uint16)
    centre = (meant.min() + meant.max() + 1) / 2
    window = {"WindowCenter": centre, "WindowWidth": int(np.ptp(meant)) + 1}
    file = dicom(data, BitsStored=stored, HighBit=high, **window)
    assert_shown(file, scaled(meant, meant.min(), meant.max()), within=2)


def test_a_high_bit_that_the_pixels_contradict_is_not_believed():
    assert_shown(dicom(RAMP, BitsStored=12, HighBit=15, **WHOLE), scaled(RAMP, 0, 4095))
    for high in (0, 3, 99):
        assert_shown(dicom(RAMP, BitsStored=12, HighBit=high, **WHOLE), scaled(RAMP, 0, 4095))


@pytest.mark.parametrize(
    "attributes", [{"BitsStored": 0}, {"BitsStored": 77}, {"BitsAllocated": 8}, {"BitsAllocated": 12}]
)
def test_the_length_of_the_pixel_data_says_what_is_allocated(attributes):
    assert_shown(dicom(RAMP, **attributes, **WHOLE), scaled(RAMP, 0, 4095))


def test_colours_of_eight_bits_that_are_said_to_have_sixteen():
    colours = np.stack([RAMP // 16, RAMP[::-1] // 16, RAMP.T // 16], -1)
    assert_shown(dicom(colours), colours)


@pytest.mark.parametrize("values", [RAMP, (RAMP.astype(np.int16) - 2048)])
def test_one_stored_bit_is_not_believed_where_the_words_hold_a_picture(values):
    file = dicom(values, BitsStored=1, HighBit=15)
    assert_shown(file, scaled(values, values.min(), values.max()))


# Masks


@pytest.mark.parametrize("white", [1, -1, -32768])
def test_a_mask_in_signed_words_has_no_sign(white):
    mask = np.zeros((16, 16), np.int16)
    mask[:8] = white
    assert_shown(dicom(mask, BitsStored=1, HighBit=15 if white == -32768 else 0), (mask != 0) * 255, within=0)


@pytest.mark.parametrize("value", [0, 1])
@pytest.mark.parametrize("coding", ["native", "run lengths", "deflated"])
@pytest.mark.parametrize("shape", [(16, 16), (13, 11)])
def test_masks_of_single_bits_are_shown_as_they_are(value, coding, shape):
    whole = np.full(shape, value, np.uint8)
    half = whole.copy()
    half[: shape[0] // 2] = 1 - value
    for mask in (whole, half):
        assert_shown(one_bit_file(mask, coding), mask * 255, within=0)


def one_bit_file(mask: np.ndarray, coding: str) -> bytes:
    packed = np.packbits(mask.ravel(), bitorder="little").tobytes()

    def bits(dataset: Dataset) -> None:
        dataset.BitsAllocated = dataset.BitsStored = 1
        dataset.HighBit = 0
        dataset.PixelData = packed + bytes(len(packed) % 2)
        if coding == "run lengths":
            run = b"".join(bytes([len(part) - 1]) + part for part in chunks(packed, 128))
            header = np.array([1, 64] + [0] * 14, "<u4").tobytes()
            encapsulated(dataset, header + run + bytes(len(run) % 2), "1.2.840.10008.1.2.5")
        elif coding == "deflated":
            squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
            frame = squeeze.compress(packed) + squeeze.flush()
            encapsulated(dataset, frame + bytes(len(frame) % 2), "1.2.840.10008.1.2.8.1")

    return changed(dicom(mask), bits)


def chunks(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def encapsulated(dataset: Dataset, frame: bytes, syntax: str) -> None:
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].is_undefined_length = True


@pytest.mark.parametrize(("labels", "white"), [([0, 0], 1), ([0, 1, 5], 5), ([3, 3], 3)])
def test_label_maps(labels, white):
    stored = np.resize(np.array(labels, np.uint8), (16, 16))
    window = {"WindowCenter": 100, "WindowWidth": 2, "PixelPaddingValue": 0}
    assert_shown(dicom(stored, SOPClassUID=LABEL_MAP, **window), stored * (255 / white))


def test_fractional_segmentations_are_shown_by_their_own_maximum():
    stored = np.full((16, 16), 50, np.uint8)
    kind = {"SOPClassUID": SEGMENTATION, "SegmentationType": "FRACTIONAL", "MaximumFractionalValue": 100}
    assert_shown(dicom(stored, **kind), np.full((16, 16), 128))


# Good data with one bad attribute


def float_file(values: np.ndarray, **attributes) -> bytes:
    keyword = "FloatPixelData" if values.itemsize == 4 else "DoubleFloatPixelData"

    def floats(dataset: Dataset) -> None:
        del dataset.PixelData
        dataset.BitsAllocated = 8 * values.itemsize
        for name in ("BitsStored", "HighBit", "PixelRepresentation"):
            delattr(dataset, name)
        setattr(dataset, keyword, values.tobytes())
        for name, value in attributes.items():
            setattr(dataset, name, value)

    return changed(dicom(np.zeros(values.shape, np.uint8)), floats)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("strange", [np.nan, np.inf, -np.inf])
def test_floats_that_are_no_numbers(dtype, strange):
    values = np.linspace(-1, 1, 4096, dtype=dtype).reshape(64, 64)
    values[0, 0] = strange
    expected = scaled(np.nan_to_num(values, nan=-1, posinf=1, neginf=-1), values[0, 1], 1)
    assert_shown(float_file(values), expected)
    windowed = shown(float_file(values, WindowCenter=0, WindowWidth=2, VOILUTFunction="LINEAR_EXACT"))
    assert np.abs(windowed[1:] - scaled(values[1:], -1, 1)).max() <= 1


@pytest.mark.parametrize("frames", [b"1A", b" 1", b"", b"one", b"0", b"-3", b"2"])
def test_a_number_of_frames_that_the_pixel_data_contradict(frames):
    assert_shown(raw(dicom(RAMP, **WHOLE), NumberOfFrames=("IS", frames)), scaled(RAMP, 0, 4095))


@pytest.mark.parametrize(
    "name", ["PhotometricInterpretation", "SamplesPerPixel", "PixelRepresentation", "BitsStored", "HighBit"]
)
def test_what_is_missing_and_can_be_told_from_the_rest(name):
    assert_shown(changed(dicom(RAMP, **WHOLE), lambda dataset: dataset.pop(name)), scaled(RAMP, 0, 4095))


@pytest.mark.parametrize("kind", ["explicit", "implicit", "big endian"])
@pytest.mark.parametrize("first", [*FIRST, "SamplesPerPixel"])
def test_without_a_preamble_whatever_element_comes_first(kind, first):
    def begin_with(dataset: Dataset) -> None:
        for element in list(dataset):
            if element.tag < Tag(first):
                del dataset[element.tag]
        if first in FIRST:
            setattr(dataset, first, FIRST[first])

    dataset = pydicom.dcmread(io.BytesIO(changed(dicom(RAMP, **WHOLE), begin_with)))
    if kind == "big endian":
        dataset.PixelData = RAMP.astype(">u2").tobytes()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    sink = io.BytesIO()
    pydicom.dcmwrite(sink, dataset, implicit_vr=kind == "implicit", little_endian=kind != "big endian")
    data = sink.getvalue()
    assert looks_like_dicom(data)
    assert looks_like_dicom(data[:256])
    assert_shown(data, scaled(RAMP, 0, 4095))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x08",
        b"plain text of a report, long enough to be read as elements of DICOM",
        b'{"resourceType": "DiagnosticReport", "status": "final"}',
        b"MSH|^~\\&|RIS|HOSPITAL|PACS|HOSPITAL|20240101||ORU^R01|1|P|2.5\rPID|1||4711\r",
        b"%PDF-1.4\n1 0 obj <</Type /Catalog>> endobj\n",
        b"PK\x03\x04\x14\0\0\0\x08\0\0\0\0\0" + bytes(60),
        b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + bytes(60),
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(60),
        b"II*\0\x08\0\0\0" + bytes(60),
        b"\x5c\x01\0\0" + bytes(344),  # NIfTI
        bytes(400),
        b"\xff" * 400,
        b"\x48\0\0\0\0\0\0\0" + b'{"__metadata__":{}}' + bytes(60),  # safetensors
    ],
)
def test_what_is_not_dicom(data):
    assert not looks_like_dicom(data)


def test_a_transfer_syntax_that_the_pixel_data_contradict():
    def as_if(syntax: str):
        return lambda dataset: setattr(dataset.file_meta, "TransferSyntaxUID", syntax)

    native = dicom(RAMP, **WHOLE)
    place = native.index(b"1.2.840.10008.1.2.1\0")
    for syntax in (b"1.2.840.10008.1.2.5\0", b"1.2.840.10008.1.2.9\0"):  # run lengths, none at all
        assert_shown(native[:place] + syntax + native[place + 20 :], scaled(RAMP, 0, 4095))


@pytest.mark.parametrize(
    ("syntax", "reason"),
    [
        ("1.2.840.10008.1.2.4.110", "JPEG XL is not supported"),
        ("1.2.840.10008.1.2.4.112", "JPEG XL is not supported"),
        ("1.2.840.10008.1.2.4.102", "DICOM video is not supported"),
        ("1.2.840.10008.1.2.4.107", "DICOM video is not supported"),
        ("1.2.3.4.5", "DICOM transfer syntax is not supported"),
    ],
)
def test_what_is_not_decoded_has_its_own_reason(syntax, reason):
    data = changed(dicom(RAMP), lambda dataset: encapsulated(dataset, b"\xff\x0a" + bytes(62), syntax))
    with pytest.raises(DecodeError) as caught:
        shown(data)
    assert str(caught.value) == reason


def test_a_jpeg_whose_scan_header_states_no_spectrum():
    path = pydicom.data.get_testdata_file("JPGExtended.dcm")
    dataset = pydicom.dcmread(path)
    frame = bytearray(pydicom.encaps.get_frame(dataset.PixelData, 0, number_of_frames=1))
    expected = shown(Path(path).read_bytes())
    scan = frame.index(b"\xff\xda")
    end = scan + 2 + int.from_bytes(frame[scan + 2 : scan + 4], "big")
    assert frame[end - 2] == 63
    frame[end - 2] = 0
    dataset.PixelData = encapsulate([bytes(frame)])
    sink = io.BytesIO()
    dataset.save_as(sink)
    assert_shown(sink.getvalue(), expected, within=0)


@pytest.mark.parametrize("shape", [(3, 3, 5), (2, 3, 7), (4, 7, 9), (5, 4, 4)])
@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("order", ["little", "big"])
def test_frames_of_single_bits_follow_one_another_or_begin_with_a_byte(shape, apart, order):
    masks = (np.random.default_rng(0).random(shape) > 0.5).astype(np.uint8)
    packed = [np.packbits(each, bitorder="little").tobytes() for each in (masks if apart else [masks])]
    pixels = b"".join(packed) + b"\0" * (len(b"".join(packed)) % 2)
    if apart and len(pixels) <= -(-masks.size // 8) + 1:
        return  # as long as without gaps

    def bits(dataset: Dataset) -> None:
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 1, 1, 0
        dataset.add_new("PixelData", "OW", pixels)

    data = changed(dicom(np.zeros(shape, np.uint8)), bits)
    data = big_endian(data) if order == "big" else data
    assert np.array_equal(shown(data), masks[shape[0] // 2] * 255)
