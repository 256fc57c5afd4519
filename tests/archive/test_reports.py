"""Report texts from plain files, FHIR and DICOM SR."""

import base64
import json

import pydicom
import pytest

from mcmfh.archive.images import DecodeError
from mcmfh.archive.normalise import MAX_CHARACTERS
from mcmfh.archive.reports import read_report


def sample(name: str) -> bytes:
    from pydicom.data import get_testdata_file

    path = get_testdata_file(name, download=False)
    with open(path, "rb") as file:
        return file.read()


def fhir(**fields) -> bytes:
    return json.dumps({"resourceType": "DiagnosticReport", **fields}).encode()


def attachment(text: str, kind: str = "text/plain", encoding: str = "utf-8") -> dict:
    return {"contentType": kind, "data": base64.b64encode(text.encode(encoding)).decode()}


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("Rundherd links.\r\n\r\n\tKein Erguß. ".encode(), "Rundherd links. Kein Erguß."),
        ("\ufeffRundherd".encode(), "Rundherd"),
        ("Erguß rechts".encode("latin-1"), "Erguß rechts"),
        ("Erguß rechts".encode("utf-16"), "Erguß rechts"),
        ("Ergu\u0308sse\x0b\x1fklein".encode(), "Ergüsse klein"),
        (b"[Findings] {nodule} left, and more", "[Findings] {nodule} left, and more"),
        (fhir(conclusion="  No   acute finding. "), "No acute finding."),
        (fhir(presentedForm=[attachment("Findings: nodule.", "text/plain; charset=utf-8")]), "Findings: nodule."),
        (fhir(conclusion="Nodule.", presentedForm=[attachment("Findings. Nodule.")]), "Findings. Nodule."),
        (fhir(conclusion="Stable.", presentedForm=[attachment("<p>A &amp; B</p>", "text/html")]), "A & B Stable."),
        (fhir(text={"div": "<div>Only the <b>narrative</b></div>"}), "Only the narrative"),
        (
            json.dumps(
                {"resourceType": "Bundle", "entry": [{"resource": json.loads(fhir(conclusion="In a bundle"))}]}
            ).encode(),
            "In a bundle",
        ),
    ],
)
def test_texts(data, text):
    assert read_report(data) == text


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty report"),
        (b" \r\n\t\xef\xbb\xbf", "empty report"),
        (fhir(), "empty report"),
        (fhir(presentedForm=[attachment("%PDF-1.4 x", "application/pdf")]), "PDF cannot be read"),
        (b'{"not": "fhir", but a text in braces', "JSON holds no FHIR DiagnosticReport"),
        (fhir(conclusion="cut off")[:-5], "FHIR document cannot be parsed"),
        (b'{"a":' * 100_000 + b'"resourceType"', "FHIR document cannot be parsed"),
        (b'{"resourceType": "Patient"}', "JSON holds no FHIR DiagnosticReport"),
        (fhir(presentedForm=[{"contentType": "text/plain", "data": "A"}]), "FHIR attachment cannot be decoded"),
        (b'<DiagnosticReport xmlns="http://hl7.org/fhir"/>', "empty report"),
        (b"\x89PNG\r\n\x1a\n", "report is not text"),
        (b"%PDF-1.4", "PDF cannot be read"),
        (b"text with a \0 in it", "report is not text"),
        (b"x " * MAX_CHARACTERS, "report is longer than the limit"),
    ],
)
def test_reasons(data, reason):
    with pytest.raises(DecodeError) as caught:
        read_report(data)
    assert str(caught.value) == reason


def test_structured_reports():
    assert read_report(sample("test-SR.dcm")).startswith("Text Code: A mass of. Code: Sample Code 1.")
    assert read_report(sample("reportsi.dcm"))
    with pytest.raises(DecodeError, match="DICOM object holds no report"):
        read_report(sample("CT_small.dcm"))


def test_measurements_of_a_structured_report():
    from io import BytesIO

    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    def code(meaning: str) -> Dataset:
        item = Dataset()
        item.CodeMeaning = meaning
        return item

    measured, person, text, outer = Dataset(), Dataset(), Dataset(), Dataset()
    measured.NumericValue, measured.MeasurementUnitsCodeSequence = "12", [code("mm")]
    number = Dataset()
    number.ValueType, number.ConceptNameCodeSequence, number.MeasuredValueSequence = (
        "NUM",
        [code("Diameter")],
        [measured],
    )
    person.ValueType, person.PersonName = "PNAME", "Doe^Jane"
    text.ValueType, text.TextValue, text.ConceptNameCodeSequence = "TEXT", "Nodule", [code("Finding")]
    text.ContentSequence = [number]
    outer.ValueType, outer.ContentSequence = "CONTAINER", [person, text]
    outer.file_meta = FileMetaDataset()
    outer.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    outer.SOPClassUID, outer.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.88.11", "1.2.3"
    sink = BytesIO()
    pydicom.dcmwrite(sink, outer, enforce_file_format=True)
    assert read_report(sink.getvalue()) == "Finding: Nodule. Diameter: 12 mm."


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("Größe normal. ".encode() * 9 + b"\xfcber", "Größe normal. " * 9 + "über"),
        ("Größe – normal".encode()[:-1] + "ü".encode()[:1], "Größe – norma"),
        ("Größe normal".encode("cp1252"), "Größe normal"),
    ],
)
def test_utf8_with_a_byte_that_is_none(data, text):
    assert read_report(data) == text


@pytest.mark.parametrize("magic", [b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!"])
def test_packed_files_are_no_text(magic):
    with pytest.raises(DecodeError, match="report is not text"):
        read_report(magic + b" Doe Jane, clear lungs")


def test_half_a_letter_is_replaced():
    half, two_halves = fhir(conclusion="Clear \ud83d lungs"), fhir(conclusion="Clear \ud83e\udec1")
    assert read_report(half) == "Clear \ufffd lungs"
    assert read_report(two_halves) == "Clear \U0001fac1"
