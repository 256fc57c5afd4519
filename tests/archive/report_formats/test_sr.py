"""DICOM SR and encapsulated documents: what is a report is told by class and title."""

import io

import pydicom
import pytest
from support.report_files import (
    BASIC_TEXT,
    COMPREHENSIVE,
    FAMILY,
    GIVEN,
    NUMBER,
    cda,
    coded,
    content,
    pdf,
    section,
    structured_report,
)

from mcmfh.archive.limits import DecodeError
from mcmfh.archive.report_formats.parsed import Status
from mcmfh.archive.reports import parse_reports, read_report

SAID = content("TEXT", "Finding", "Nodule left")
MEASURED = content("NUM", "Diameter", ("12", "mm"))
DOSE = [content("NUM", "CT Dose Length Product Total", ("512.3", "mGy.cm"))]


def test_text_codes_and_measurements():
    report = structured_report([SAID, content("CODE", "Side", "Left"), MEASURED])
    assert read_report(report) == "Finding: Nodule left. Side: Left. Diameter: 12 mm."


@pytest.mark.parametrize(
    ("sop_class", "title", "items", "reason"),
    [
        ("1.2.840.10008.5.1.4.1.1.88.67", (), DOSE, "dose report"),
        ("1.2.840.10008.5.1.4.1.1.88.67", (), [SAID], "dose report"),
        ("1.2.840.10008.5.1.4.1.1.88.22", coded("X-Ray Radiation Dose Report", "113701", "DCM"), [SAID], "dose report"),
        (COMPREHENSIVE, coded("CT Dose Report", "7", "99X"), [SAID], "dose report"),
        ("1.2.840.10008.5.1.4.1.1.88.59", (), [SAID], "key object note"),
        (COMPREHENSIVE, coded("Of Interest", "113000", "DCM"), [SAID], "key object note"),
        ("1.2.840.10008.5.1.4.1.1.88.50", (), [SAID], "computer-aided"),
        (COMPREHENSIVE, coded("Chest CAD Report", "112000", "DCM"), [SAID], "computer-aided"),
        (COMPREHENSIVE, coded("Imaging Measurement Report", "126000", "DCM"), [SAID], "measurements"),
        ("1.2.840.10008.5.1.4.1.1.88.72", (), [SAID], "measurements"),
        (COMPREHENSIVE, (), [MEASURED], "measurements"),
        (COMPREHENSIVE, coded("Diagnosis"), DOSE, "measurements"),
        ("1.2.840.10008.5.1.4.1.1.88.40", (), [SAID], "log of a procedure"),
    ],
)
def test_what_is_no_report(sop_class, title, items, reason):
    with pytest.raises(DecodeError, match=reason):
        read_report(structured_report(items, sop_class, title))


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, Status.FINAL),
        ({"CompletionFlag": "COMPLETE", "VerificationFlag": "VERIFIED"}, Status.FINAL),
        ({"CompletionFlag": "PARTIAL", "VerificationFlag": "UNVERIFIED"}, Status.PRELIMINARY),
        ({"CompletionFlag": "COMPLETE", "VerificationFlag": "UNVERIFIED"}, Status.PRELIMINARY),
        ({"PreliminaryFlag": "PRELIMINARY", "VerificationFlag": "VERIFIED"}, Status.PRELIMINARY),
        ({"PredecessorDocumentsSequence": [pydicom.Dataset()]}, Status.AMENDED),
    ],
)
def test_status(fields, status):
    assert parse_reports(structured_report([SAID], **fields))[0].status is status


@pytest.mark.parametrize(
    ("declared", "said", "encoding"),
    [
        (None, "Erguß", "utf-8"),
        (None, "Erguß – “klein”", "cp1252"),
        ("ISO_IR 100", "Erguß", "latin-1"),
        ("ISO_IR 192", "Erguß 肺", "utf-8"),
        ("ISO_IR 6", "Erguß", "utf-8"),
        (None, "肺に結節", "iso2022_jp"),
        ("\\ISO 2022 IR 87", "肺に結節", "iso2022_jp"),
    ],
)
def test_character_sets(declared, said, encoding):
    place = "@" * len(said.encode(encoding)) + ("@" if len(said.encode(encoding)) % 2 else "")
    fields = {"SpecificCharacterSet": declared.split("\\")} if declared else {}
    data = structured_report([content("TEXT", "Finding", place)], **fields)
    data = data.replace(place.encode(), said.encode(encoding).ljust(len(place)))
    assert read_report(data) == f"Finding: {said}."


def test_encapsulated_documents():
    def encapsulated(document: bytes, kind: str, **fields) -> bytes:
        return structured_report(
            [],
            f"1.2.840.10008.5.1.4.1.1.104.{kind}",
            EncapsulatedDocument=document + bytes(len(document) % 2),
            **fields,
        )

    assert read_report(encapsulated(pdf(f"Nodule of {FAMILY}^{GIVEN}"), "1")) == "Nodule of ___"
    assert read_report(encapsulated(cda(section("Nodule")), "2")) == "Findings: Nodule"
    with pytest.raises(DecodeError, match="dose"):
        read_report(encapsulated(pdf("x"), "1", DocumentTitle="Dose report"))
    with pytest.raises(DecodeError, match="PDF cannot be read"):
        read_report(encapsulated(b"%PDF-1.4", "1"))


def test_the_patient_does_not_enter_the_text():
    items = [
        content("PNAME", "Person Observer Name", "Zzobserver^Aa", "HAS OBS CONTEXT", "121008"),
        content("TEXT", "Subject Name", FAMILY, "HAS OBS CONTEXT", "121029"),
        content("TEXT", "Subject ID", NUMBER, "CONTAINS", "121030"),
        content("TEXT", "Recording Observer", "Zzrecorder", "HAS OBS CONTEXT"),
        content("TEXT", "Finding", f"{FAMILY} {GIVEN} ({NUMBER}, 11/23/1951) has a nodule"),
    ]
    assert read_report(structured_report(items, BASIC_TEXT)) == "Finding: ___ (___, ___) has a nodule."


def test_broken_content_is_a_reason():
    dataset = pydicom.dcmread(io.BytesIO(structured_report([SAID])))
    dataset.ContentSequence[0].ConceptNameCodeSequence = None
    dataset.ContentSequence[0].TextValue = "still read"
    sink = io.BytesIO()
    dataset.save_as(sink)
    assert read_report(sink.getvalue()) == "still read."
