"""Reports in every format, made by hand with a patient planted in their headers."""

import base64
import io
import json
from collections.abc import Sequence
from typing import Any

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

FAMILY, GIVEN, NUMBER, BIRTH = "Zzplanted", "Qqgiven", "MRN7730415", "19511123"
BASIC_TEXT, COMPREHENSIVE = "1.2.840.10008.5.1.4.1.1.88.11", "1.2.840.10008.5.1.4.1.1.88.33"


def patient(**fields: Any) -> dict[str, Any]:
    """A FHIR Patient with the planted identity."""
    return {
        "resourceType": "Patient",
        "id": "p",
        "identifier": [{"system": "urn:h", "value": NUMBER}],
        "name": [{"family": FAMILY, "given": [GIVEN]}],
        "birthDate": f"{BIRTH[:4]}-{BIRTH[4:6]}-{BIRTH[6:]}",
        **fields,
    }


def fhir(**fields: Any) -> dict[str, Any]:
    """A FHIR DiagnosticReport."""
    return {"resourceType": "DiagnosticReport", "status": "final", **fields}


def bundle(*resources: dict[str, Any]) -> bytes:
    """A Bundle of resources."""
    return json.dumps({"resourceType": "Bundle", "entry": [{"resource": one} for one in resources]}).encode()


def attachment(data: str | bytes, kind: str = "text/plain") -> dict[str, str]:
    """A FHIR Attachment."""
    data = data.encode() if isinstance(data, str) else data
    return {"contentType": kind, "data": base64.b64encode(data).decode()}


def hl7(*results: str, kind: str = "ORU^R01", order: str = "F", charset: str = "", encoding: str = "utf-8") -> bytes:
    """An HL7 v2 message with the planted patient; a result is what follows "OBX|1|"."""
    segments = [
        f"MSH|^~\\&|RIS|H|X|Y|202001011200||{kind}|1|P|2.5||||||{charset}",
        f"PID|1||{NUMBER}^^^H||{FAMILY.upper()}^{GIVEN.upper()}||{BIRTH}|F",
        f"OBR|1|PL1|FI1|CHEST|||20200101|||||||||||A77||||20200102||RAD|{order}",
        *(f"OBX|1|{result}" for result in results),
    ]
    return "\r".join(segments).encode(encoding)


def observed(text: str, kind: str = "TX", status: str = "F") -> str:
    """A result for `hl7`."""
    return f"{kind}|IMP^Impression||{text}||||||{status}"


def cda(body: str, code: str = "18748-4", head: str = "") -> bytes:
    """A CDA document with the planted patient; `body` is what stands in structuredBody or the nonXMLBody."""
    inner = body if body.startswith("<nonXMLBody") else f"<structuredBody>{body}</structuredBody>"
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:sdtc="urn:hl7-org:sdtc">
<id root="1.2.3"/><code code="{code}" codeSystem="2.16.840.1.113883.6.1"/><title>Report of {FAMILY}</title>{head}
<recordTarget><patientRole><id extension="{NUMBER}" root="1.2"/><addr><city>Zzcity</city></addr><patient>
<name><given>{GIVEN}</given><family>{FAMILY}</family></name><birthTime value="{BIRTH}"/></patient></patientRole>
</recordTarget><component>{inner}</component></ClinicalDocument>""".encode()


def section(text: str, title: str = "Findings", code: str = "18782-3") -> str:
    """A CDA section."""
    return f"<component><section><code code='{code}'/><title>{title}</title><text>{text}</text></section></component>"


def coded(meaning: str, value: str = "1", scheme: str = "99T") -> list[Dataset]:
    """A code sequence of one item."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return [item]


def content(kind: str, concept: str, value: Any, relation: str = "CONTAINS", concept_code: str = "1") -> Dataset:
    """An SR content item of type TEXT, CODE, NUM (value and unit) or PNAME."""
    item = Dataset()
    item.RelationshipType, item.ValueType = relation, kind
    item.ConceptNameCodeSequence = coded(concept, concept_code, "DCM" if concept_code != "1" else "99T")
    if kind == "TEXT":
        item.TextValue = value
    elif kind == "CODE":
        item.ConceptCodeSequence = coded(value)
    elif kind == "PNAME":
        item.PersonName = value
    else:
        measured = Dataset()
        measured.NumericValue, measured.MeasurementUnitsCodeSequence = value[0], coded(value[1])
        item.MeasuredValueSequence = [measured]
    return item


def structured_report(
    items: Sequence[Dataset], sop_class: str = BASIC_TEXT, title: Sequence[Dataset] = (), **fields: Any
) -> bytes:
    """A DICOM object with the planted patient; `fields` are further attributes."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, "1.2.3"
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = f"{FAMILY}^{GIVEN}", NUMBER, BIRTH
    dataset.Modality, dataset.StudyInstanceUID = "SR", "1.2.1"
    dataset.ValueType, dataset.ContentSequence = "CONTAINER", list(items)
    if title:
        dataset.ConceptNameCodeSequence = list(title)
    for name, value in fields.items():
        setattr(dataset, name, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    sink = io.BytesIO()
    pydicom.dcmwrite(sink, dataset, enforce_file_format=True)
    return sink.getvalue()


def pdf(text: str) -> bytes:
    """A PDF of one page with a text layer."""
    stream = b"BT /F1 12 Tf 72 720 Td (" + text.encode("latin-1") + b") Tj ET"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n" % len(stream) + stream + b"\nendstream",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    data, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(data))
        data += b"%d 0 obj\n" % number + body + b"\nendobj\n"
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    start = len(data)
    data += b"xref\n0 6\n0000000000 65535 f \n" + table
    return data + b"trailer << /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % start
