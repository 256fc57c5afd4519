"""FHIR: status, attachments of every kind, results, Bundles, ndjson and XML."""

import json

import pytest
from support.report_files import BIRTH, FAMILY, GIVEN, NUMBER, attachment, bundle, fhir, patient, pdf

from mcmfh.archive.limits import DecodeError
from mcmfh.archive.reports import parse_reports, read_report


def read(resource: dict, **more) -> str:
    return read_report(json.dumps(resource).encode(), **more)


def observation(identifier: str = "1", **fields) -> dict:
    return {"resourceType": "Observation", "id": identifier, "status": "final", "code": {"text": "Findings"}, **fields}


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (attachment(rb"{\rtf1\ansi{\header Zz}\b Nodule\b0  \'fc}", "text/rtf"), "Nodule ü"),
        (attachment(rb"{\rtf1 Nodule}", "application/rtf"), "Nodule"),
        (attachment(pdf("Nodule left"), "application/pdf"), "Nodule left"),
        (attachment(pdf("Nodule left"), "application/octet-stream"), "Nodule left"),
        (
            attachment(
                "<html><head><title>Z</title><style>p{}</style></head><p>A&nbsp;&lt; B<script>x()</script>", "x"
            ),
            "A < B",
        ),
        (attachment("Erguß".encode("cp1252"), "text/plain; charset=iso-8859-1"), "Erguß"),
        (attachment("Erguß".encode("utf-16"), "text/plain"), "Erguß"),
    ],
)
def test_attachments(form, text):
    assert read(fhir(presentedForm=[form])) == text
    assert text in read(fhir(presentedForm=[form], conclusion="Stable."))
    assert "Stable." in read(fhir(presentedForm=[form], conclusion="Stable."))


@pytest.mark.parametrize(
    "form",
    [
        attachment(b"{\\rtf1 \\u99999999999", "text/rtf"),
        attachment(b"%PDF-1.7 broken", "application/pdf"),
        attachment(b"\x89PNG\r\n\x1a\n", "image/png"),
        {"contentType": "text/plain", "data": "A"},
        {"contentType": "application/pdf", "url": "http://pacs/report.pdf"},
        "not an attachment",
        None,
    ],
)
def test_an_attachment_that_cannot_be_read_costs_only_itself(form):
    assert "Nodule left." in read(fhir(presentedForm=[form], conclusion="Nodule left."))


def test_attachments_are_one_text_in_several_formats():
    forms = [attachment(pdf("Nodule left"), "application/pdf"), attachment("Nodule left", "text/plain")]
    assert read(fhir(presentedForm=forms, conclusion="nodule")) == "Nodule left nodule"
    assert read(fhir(presentedForm=forms, conclusion="left")) == "Nodule left"


def test_an_attachment_beside_the_report():
    report = fhir(presentedForm=[{"contentType": "text/html", "url": "7.html"}])
    assert read(report, beside={"7.html": b"<p>Nodule</p>"}.get) == "Nodule"
    with pytest.raises(DecodeError, match="is not beside it"):
        read(report, beside={}.get)
    with pytest.raises(DecodeError, match="is not beside it"):
        read(report)
    binary = {"resourceType": "Binary", "id": "b", "data": attachment("In the bundle")["data"]}
    linked = fhir(presentedForm=[{"url": "Binary/b"}])
    assert read_report(bundle(linked, binary)) == "In the bundle"


@pytest.mark.parametrize(
    "report",
    [
        fhir(result=[{"reference": "Observation/1"}]),
        fhir(result=[{"reference": "http://server/fhir/Observation/1"}]),
        fhir(result=[{"reference": "Observation/1/_history/2"}]),
    ],
)
def test_results_of_a_bundle(report):
    assert read_report(bundle(report, observation(valueString="Nodule left"))) == "Findings: Nodule left"


def test_results_that_are_contained_coded_measured_and_nested():
    inner = observation("3", valueQuantity={"value": 12, "unit": "mm"}, code={"text": "Diameter"})
    outer = observation("2", valueCodeableConcept={"text": "Nodule"}, hasMember=[{"reference": "#3"}])
    report = fhir(contained=[outer, inner], result=[{"reference": "#2"}], conclusion="Follow up.")
    assert read(report) == "Findings: Nodule Diameter: 12 mm Follow up."
    wrong = observation("2", valueString="Of somebody else", status="entered-in-error")
    assert read(fhir(contained=[wrong], result=[{"reference": "#2"}], conclusion="Nothing.")) == "Nothing."
    circle = observation("2", valueString="Once", hasMember=[{"reference": "#2"}])
    assert "Once" in read(fhir(contained=[circle], result=[{"reference": "#2"}]))
    with pytest.raises(DecodeError, match="in another file"):
        read(fhir(result=[{"reference": "Observation/9"}]))


@pytest.mark.parametrize(
    ("status", "reason"), [("entered-in-error", "report was entered in error"), ("cancelled", "report was cancelled")]
)
def test_withdrawn_reports_are_refused(status, reason):
    with pytest.raises(DecodeError, match=reason):
        read(fhir(status=status, conclusion="Nodule"))
    both = bundle(fhir(status=status, conclusion="Wrong"), fhir(conclusion="Right"))
    assert read_report(both) == "Right"


@pytest.mark.parametrize(
    ("statuses", "text"),
    [
        (["preliminary"], "0"),
        (["partial", "final"], "1"),
        (["final", "preliminary"], "0"),
        (["final", "amended"], "1"),
        (["corrected", "final"], "0"),
        (["appended", "preliminary", "final"], "0"),
    ],
)
def test_of_several_versions_one_counts(statuses, text):
    versions = [
        fhir(status=status, conclusion=f"Text {n}", identifier=[{"value": "A1"}]) for n, status in enumerate(statuses)
    ]
    assert read_report(bundle(*versions)) == f"Text {text}"
    lines = "\n".join(map(json.dumps, versions)).encode()
    assert read_report(lines) == f"Text {text}"


def test_of_two_equal_versions_the_later_counts():
    versions = [fhir(conclusion=f"Text {day}", id="a", issued=f"2020-01-0{day}T10:00:00Z") for day in (2, 1)]
    assert read_report(bundle(*versions)) == "Text 2"


def test_reports_of_several_people_or_studies_in_one_file_are_refused():
    def line(**fields):
        return json.dumps(fhir(**fields))

    for first, second, reason in (
        ({"id": "1"}, {"id": "2"}, "several reports"),
        ({"subject": {"reference": "Patient/1"}}, {"subject": {"reference": "Patient/2"}}, "several patients"),
        (
            {"imagingStudy": [{"identifier": {"system": "urn:dicom:uid", "value": "urn:oid:1.2"}}]},
            {},
            "several studies",
        ),
    ):
        data = (line(conclusion="a", **first) + "\n" + line(conclusion="b", **second) + "\n").encode()
        with pytest.raises(DecodeError, match=f"file holds .*{reason}"):
            read_report(data)
        assert len(parse_reports(data)) == 2
    assert read_report((line(conclusion="only one") + "\n\n").encode()) == "only one"


def test_what_pairs_a_report_with_its_study():
    study = {
        "resourceType": "ImagingStudy",
        "id": "s",
        "identifier": [
            {"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"},
            {"type": {"coding": [{"code": "ACSN"}]}, "value": "A77"},
        ],
    }
    data = bundle(fhir(conclusion="x", imagingStudy=[{"reference": "ImagingStudy/s"}]), study)
    (report,) = parse_reports(data)
    assert (report.study, report.accession) == ("1.2.3", "A77")


def test_a_document_reference_and_a_composition():
    reference = {
        "resourceType": "DocumentReference",
        "status": "current",
        "content": [{"attachment": attachment("Nodule")}],
    }
    assert read(reference) == "Nodule"
    with pytest.raises(DecodeError, match="superseded"):
        read({**reference, "status": "superseded"})
    composition = {
        "resourceType": "Composition",
        "section": [{"title": "Findings", "text": {"div": "<div>Nodule</div>"}}],
    }
    assert read_report(bundle(fhir(), composition)) == "Findings: Nodule"


def test_xml():
    data = f"""<?xml version="1.0" encoding="UTF-8"?><Bundle xmlns="http://hl7.org/fhir"><entry><resource>
    <DiagnosticReport><status value="final"/><subject><display value="{GIVEN} {FAMILY}"/></subject>
    <result><reference value="Observation/1"/></result><conclusion value="Stable in {GIVEN} {FAMILY}."/>
    </DiagnosticReport></resource></entry><entry><resource><Observation><id value="1"/><code><text value="Findings"/>
    </code><valueString value="Nodule"/></Observation></resource></entry></Bundle>""".encode()
    assert read_report(data) == "Findings: Nodule Stable in ___."
    with pytest.raises(DecodeError, match="entered in error"):
        read_report(
            b'<DiagnosticReport xmlns="http://hl7.org/fhir"><status value="entered-in-error"/></DiagnosticReport>'
        )
    with pytest.raises(DecodeError, match="document type definition"):
        read_report(
            b'<!DOCTYPE a [<!ENTITY e "x">]><DiagnosticReport xmlns="http://hl7.org/fhir">&e;</DiagnosticReport>'
        )


@pytest.mark.parametrize("place", ["contained", "bundle", "display"])
def test_the_patient_does_not_enter_the_text(place):
    said = f"{FAMILY}, {GIVEN} ({NUMBER}, born 23.11.1951): nodule. Mrs. {FAMILY} is well."
    report = fhir(conclusion=said, text={"div": f"<div>{said}</div>"}, subject={"reference": "Patient/p"})
    if place == "contained":
        data = json.dumps({**report, "contained": [patient()]}).encode()
    elif place == "bundle":
        data = bundle(report, patient())
    else:
        report["subject"] = {"display": f"{GIVEN} {FAMILY}", "identifier": {"value": NUMBER}}
        data = json.dumps(report).encode()
    text = read_report(data)
    assert "nodule" in text
    for planted in (FAMILY, GIVEN, NUMBER, *(["1951"] if place != "display" else [])):
        assert planted not in text
    assert BIRTH not in text


@pytest.mark.parametrize(
    "data",
    [
        json.dumps(patient()).encode(),
        bundle(patient()),
        b'{"resourceType": "Observation", "valueString": "alone"}',
        b'{"Modality": "MR", "PatientName": "DOE^JANE", "resource": 1}',
        b'{"00100010": {"vr": "PN", "Value": [{"Alphabetic": "DOE^JANE"}]}}',
        b'[{"00100010": {"vr": "PN"}}]',
        b'{"PatientName": "DOE^JANE", "Echo',
        b'\xef\xbb\xbf  {"a": 1}',
        '{"PatientName": "DOE^JANE"}'.encode("utf-16"),
        b"[]",
        b"{}",
    ],
)
def test_json_that_is_no_report_is_refused(data):
    with pytest.raises(DecodeError, match="JSON holds no FHIR DiagnosticReport"):
        read_report(data)
