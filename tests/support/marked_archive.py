"""A hospital's export with 200 planted markers: names, numbers, birth dates, in headers, folder and file names.

A marker of a header or column is the identity that nothing may repeat. One of a path may stand in addresses alone.
"""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from support.dicom_file import as_encoded, dicom
from support.report_files import coded, content, fhir, pdf, section, structured_report

PATIENTS = 44
_DESCRIPTION, _ARTIST = 270, 315  # tags of TIFF and Exif
# Keyword → its VR: none of them may hold a name, and some decide how the picture is shown.
_ILLEGAL = {
    keyword: vr
    for vr, keywords in {
        "DA": "StudyDate",
        "TM": "StudyTime",
        "AS": "PatientAge",
        "UI": "StudyInstanceUID SeriesInstanceUID",
        "IS": "SeriesNumber",
        "DS": "PatientWeight WindowCenter WindowWidth RescaleSlope LossyImageCompressionRatio",
        "CS": "BodyPartExamined PresentationLUTShape",
    }.items()
    for keyword in keywords.split()
}
_FINDINGS = ("small left pleural effusion", "no pneumothorax", "fracture of the right clavicle", "clear lungs")


class Marked:
    """The export below `folder`, and its markers by where they were planted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.identities: list[str] = []
        self.paths: list[str] = []
        self.births: list[str] = []
        for number in range(PATIENTS):
            _Patient(self, number).write()
        self._write_broken()

    def identity(self, kind: str) -> str:
        """A new marker of a header or a column."""
        self.identities.append(f"Zq{kind}{len(self.identities):03d}xv")
        return self.identities[-1]

    def path(self, kind: str) -> str:
        """A new marker of a name of a folder or file."""
        self.paths.append(f"Wk{kind}{len(self.paths):03d}yj")
        return self.paths[-1]

    def put(self, name: str, data: bytes) -> str:
        """Write a file; its absolute path."""
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        return str(target)

    def _write_broken(self) -> None:
        """Inputs of every kind that cannot be used, each with markers in its name and its content."""
        name = self.identity("Broken")
        message = f"MSH|^~\\&|A|B|C|D|2020||ADT^A01|1|P|2.5\rPID|1||{name}||{name}^X||1933"
        contents = {
            "cut.dcm": dicom(np.zeros((8, 8), np.uint16), PatientName=name)[:-60],
            "even.dcm": dicom(np.zeros((8, 8), np.uint16), PatientName=name),
            "odd.dcm": b"\0" * 128 + b"DICM" + name.encode() * 9,
            "cut.png": _picture("PNG", 1, name)[:60] + name.encode(),
            "no.jpg": b"\xff\xd8\xff" + name.encode(),
            "admission.hl7": message.encode(),
            "settings.json": json.dumps({"patient": name}).encode(),
            "open.json": f'{{"resourceType": "DiagnosticReport", "conclusion": "{name}'.encode(),
            "open.xml": f"<ClinicalDocument><patient>{name}".encode(),
            "table.txt": "\n".join(f"{name}\t1\t2\t3\t4" for _ in range(9)).encode(),
            "zeros.txt": b"\0\1\2\3" * 90 + name.encode(),
            "cut.pdf": b"%PDF-1.4\n" + name.encode(),
            "cut.tif": _picture("TIFF", 1, name)[:-9],
            "wrong.tif": _picture("TIFF", 1, name).replace(b"\0\1\3\0", b"\0\1\2\0", 4),
            "cut.zip": b"PK\3\4" + name.encode(),
            "cut.txt.gz": b"\x1f\x8b\x08" + name.encode(),
        }
        for ending, data in contents.items():
            self.put(f"{self.path('Lost')}/{self.path('File')}-{ending}", data)


class _Patient:
    def __init__(self, archive: Marked, number: int) -> None:
        self.archive, self.number = archive, number
        self.family, self.given, self.mrn = (archive.identity(kind) for kind in ("Name", "Given", "Mrn"))
        self.accession, self.physician = archive.identity("Acc"), archive.identity("Doc")
        self.birth = f"19{33 + number}0{1 + number % 9}1{number % 10}"
        archive.births += [self.birth, self._born()]
        self.folder = f"{archive.path('Folder')}/study{number}"
        self.text = f"Chest: {_FINDINGS[number % 4]}, seen by the resident in view {number}."

    def write(self) -> None:
        stem = self.archive.path("File")
        kind = ("png", "dcm", "jpeg", "dcm", "tiff", "dcm")[self.number % 6]
        picture = self._dicom() if kind == "dcm" else _picture(kind, self.number, self.mrn)
        self.archive.put(f"{self.folder}/{stem}.{kind}", picture)
        reports = list(self._reports())
        ending, report = reports[self.number % len(reports)]
        self.archive.put(f"{self.folder}/{stem}.{ending}", report)

    def _dicom(self) -> bytes:
        pixels = np.random.default_rng(self.number).integers(0, 4000, (64, 64)).astype(np.uint16)
        data = dicom(pixels, StudyInstanceUID=f"1.2.3.{self.number}", **self._header())
        return data if self.number % 4 == 1 else _with_illegal_values(data, self.family)

    def _header(self) -> dict[str, Any]:
        return {
            "PatientName": f"{self.family}^{self.given}",
            "PatientID": self.mrn,
            "PatientBirthDate": self.birth,
            "AccessionNumber": self.accession[:16],
            "ReferringPhysicianName": self.physician,
            "OtherPatientIDs": self.mrn,
            "InstitutionName": self.physician,
            "PatientComments": f"{self.family} {self.given}",
            "Modality": "DX",
        }

    def _reports(self) -> Iterator[tuple[str, bytes]]:
        said = f"{self.text} Patient {self.given} {self.family}, born {self.birth}, number {self.mrn}."
        person = {"resourceType": "Patient", "id": "p", "identifier": [{"value": self.mrn}], "birthDate": self._born()}
        person["name"] = [{"family": self.family, "given": [self.given]}]
        report = fhir(conclusion=said, contained=[person], subject={"reference": "#p"})
        yield "json", json.dumps(report).encode()
        message = (
            "MSH|^~\\&|RIS|H|X|Y|202001011200||ORU^R01|1|P|2.5",
            f"PID|1||{self.mrn}^^^H||{self.family}^{self.given}||{self.birth}|F",
            f"OBR|1|{self.accession}|{self.accession}|CHEST|||20200101||||||||{self.physician}||||||20200102||RAD|F",
            f"OBX|1|TX|IMP^Impression||{said}||||||F",
        )
        yield "hl7", "\r".join(message).encode()
        yield "xml", self._cda(said)
        items = [content("TEXT", "Finding", said)]
        yield "dcm.sr", structured_report(items, title=coded("Diagnostic Report", "11528-7", "LN"), **self._header())
        yield "txt", self.text.encode()
        head = f"<html><head><title>{self.family}</title><meta name='author' content='{self.physician}'></head>"
        yield "html", f"{head}<body><p>{self.text}</p></body></html>".encode()
        yield "rtf", f"{{\\rtf1{{\\info{{\\title {self.family}}}{{\\author {self.physician}}}}} {self.text}}}".encode()
        yield "pdf", pdf(self.text).replace(b"trailer <<", f"trailer << /Info << /Title ({self.family}) >>".encode())

    def _cda(self, said: str) -> bytes:
        return f"""<?xml version="1.0" encoding="UTF-8"?>
<ClinicalDocument xmlns="urn:hl7-org:v3"><id root="1.2.3"/><code code="18748-4" codeSystem="2.16.840.1.113883.6.1"/>
<recordTarget><patientRole><id extension="{self.mrn}" root="1.2"/><patient><name><given>{self.given}</given>
<family>{self.family}</family></name><birthTime value="{self.birth}"/></patient></patientRole></recordTarget>
<author><assignedAuthor><assignedPerson><name>{self.physician}</name></assignedPerson></assignedAuthor></author>
<component><structuredBody>{section(said)}</structuredBody></component></ClinicalDocument>""".encode()

    def _born(self) -> str:
        return f"{self.birth[:4]}-{self.birth[4:6]}-{self.birth[6:]}"


def _with_illegal_values(data: bytes, name: str) -> bytes:
    """A DICOM file in which attributes of many kinds hold a name, which none of them may."""
    dataset: Dataset = pydicom.dcmread(io.BytesIO(data))
    for keyword, vr in _ILLEGAL.items():
        tag, value = Tag(tag_for_keyword(keyword) or 0), name.encode() + b" " * (len(name) % 2)
        dataset[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)
    return as_encoded(dataset)


def _picture(kind: str, seed: int, name: str) -> bytes:
    """Noise as a PNG, JPEG or TIFF that names a person in its text chunks, comments or tags."""
    sink, pixels = io.BytesIO(), np.random.default_rng(seed).integers(0, 255, (64, 64)).astype(np.uint8)
    if kind.upper() == "PNG":
        said = PngInfo()
        said.add_text("Author", name)
        Image.fromarray(pixels).save(sink, "PNG", pnginfo=said)
    elif kind.upper() == "JPEG":
        exif = Image.Exif()
        exif[_ARTIST] = name
        Image.fromarray(pixels).save(sink, "JPEG", comment=name, exif=exif)
    else:
        Image.fromarray(pixels.astype(np.uint16) * 100).save(sink, "TIFF", tiffinfo={_DESCRIPTION: name, _ARTIST: name})
    return sink.getvalue()
