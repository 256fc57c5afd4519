"""One file of a folder → what it is, and the facts in its name and header by which it is paired.

A picture is told by its ending, anything else by its content. A report is parsed whole, because its status and its
study stand in it; of a DICOM file only the header is read.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from mcmfh.archive.addresses import MEMBER, member_of
from mcmfh.archive.dicom import read_dicom
from mcmfh.archive.fetching import beside, fetch, read_address
from mcmfh.archive.images import looks_like_dicom
from mcmfh.archive.limits import DecodeError, Limits, NoReport
from mcmfh.archive.members import is_container, members
from mcmfh.archive.missing import known_key
from mcmfh.archive.report_formats import cda, fhir, hl7v2, pdf, rtf
from mcmfh.archive.report_formats.characters import decode
from mcmfh.archive.report_formats.parsed import ParsedReport, Status, choose
from mcmfh.archive.reports import parse_reports
from mcmfh.store import files
from mcmfh.store.outages import is_outage

_PICTURES = ("png", "jpg", "jpeg", "jpe", "jfif", "tif", "tiff", "webp")
_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*")
_REPORTS = ("txt", "text", "json", "ndjson", "jsonl", "xml", "cda", "hl7", "oru", "msg", "rtf", "html", "htm", "pdf")
_COMPOUND = (".nii.gz", ".mgz", ".svs")
_IS_TEXT = re.compile("[^\ud800-\udfff]*\\Z")
_HEAD = 1 << 18  # bytes: enough for the header of nearly every DICOM file
_MAX_HEADER = 64 << 20


@dataclass(frozen=True)
class Inspected:
    """A picture or a report, or with a `reason` what is neither.

    study: StudyInstanceUID. patient, accession: as they stand in the header, "" where it says nothing. kind: what a
    file that is passed over is counted as.
    """

    uri: str
    is_report: bool = False
    kind: str = ""
    reason: str = ""
    study: str = ""
    accession: str = ""
    patient: str = ""
    date: str | None = None
    modality: str | None = None
    region: str | None = None
    status: Status = Status.FINAL
    name: str = ""  # versions of one report have the same
    issued: str = ""
    attached: tuple[str, ...] = ()  # URIs of the files that are a part of this report

    @property
    def folder(self) -> str:
        """The folder that holds the file, or its place in a container."""
        return self.uri.rpartition("/")[0]

    @property
    def stem(self) -> str:
        """The file's name without its ending."""
        name = self.uri.rpartition("/")[2]
        return name.rpartition(".")[0] if "." in name.lstrip(".") else name

    @property
    def passed_over(self) -> bool:
        """Whether the file is neither a picture nor a report."""
        return bool(self.reason)


def inspect(uri: str) -> list[Inspected]:
    """What the file at `uri` holds: itself, or the members of a container, or the reports of a file of many."""
    if not _IS_TEXT.match(uri):
        return [Inspected(uri, kind="name that is not UTF-8", reason="file cannot be addressed")]
    try:
        return list(_inspect(uri))
    except NoReport as error:
        return [Inspected(uri, kind=_ending(uri), reason=str(error))]
    except DecodeError as error:  # a damaged report still becomes a row, so that it is quarantined with its reason
        is_report = _ending(uri)[1:] in _REPORTS
        return [Inspected(uri, is_report) if is_report else Inspected(uri, kind=_ending(uri), reason=str(error))]
    except (FileNotFoundError, NotADirectoryError):
        return [Inspected(uri, kind="link", reason="link leads nowhere")]
    except IsADirectoryError:
        return [Inspected(uri, kind="link", reason="link to a folder is not followed")]
    except Exception as error:  # one file never ends the job
        if is_outage(error):
            raise
        kind = _ending(uri) or "without ending"
        return [Inspected(uri, kind=kind, reason=f"file cannot be read ({type(error).__name__})")]


def _inspect(uri: str) -> Iterator[Inspected]:
    ending = _ending(uri)
    if ending.rpartition(".")[2] in _PICTURES:
        yield Inspected(uri)
    elif is_container(uri) and ending not in _COMPOUND and member_of(uri) is None:
        for member in members(uri):
            yield from inspect(member)
    elif ending[1:] in _REPORTS:
        yield from _reports(uri)
    else:
        head = read_address(uri, 0, _HEAD)
        if looks_like_dicom(head):
            yield _dicom(uri, head)
        elif head.startswith(_MAGIC) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
            yield Inspected(uri)
        elif _starts_as_report(head):
            yield from _reports(uri)
        else:
            yield Inspected(uri, kind=ending or "without ending", reason="neither picture nor report")


def _ending(uri: str) -> str:
    """The lower-case ending with its dot; of a compound one like .nii.gz all of it."""
    name = uri.rpartition("/")[2].lower()
    match = re.search(r"(?:\.(?:nii|tar))?\.[a-z0-9_]{1,10}\Z", name[1:])
    return match[0] if match else ""


def _starts_as_report(head: bytes) -> bool:
    if pdf.recognises(head):
        return True
    try:
        text = decode(head[:4096])
    except DecodeError:
        return False
    return any(format_.recognises(text) for format_ in (fhir, hl7v2, cda, rtf))


def _reports(uri: str) -> Iterator[Inspected]:
    data = fetch(uri, "report", Limits(max_bytes=_MAX_HEADER))
    if len(data) > _MAX_HEADER:
        raise DecodeError("file is larger than the limit")
    if looks_like_dicom(data):
        yield _dicom(uri, data)
        return
    attached: list[str] = []
    read = beside(uri, Limits(max_bytes=_MAX_HEADER))

    def noted(name: str) -> bytes | None:
        if (content := read(name)) is not None:
            attached.append(f"{files.parent(uri)}/{name.removeprefix('./')}")
        return content

    reports = parse_reports(data, noted)
    try:
        yield replace(_of_report(uri, choose(reports)), attached=tuple(attached))
    except DecodeError:
        ranges = [] if member_of(uri) else list(_byte_ranges(data))
        if len(ranges) < 2:
            raise
        for start, end in ranges:
            yield from inspect(f"{uri}{MEMBER}{start}-{end}")


def _byte_ranges(data: bytes) -> Iterator[tuple[int, int]]:
    """[first byte, end) of each document of an ndjson file, or of each message of an HL7 batch."""
    if data.lstrip(b"\xef\xbb\xbf \r\n").startswith(b"{"):
        starts = [match.start() for match in re.finditer(rb"^[ \t]*\{", data, re.M)]
    else:
        starts = [match.start(1) for match in re.finditer(rb"(?:\A|[\r\n\x0b])(MSH[^\w\s])", data)]
    yield from zip(starts, [*starts[1:], len(data)])


def _of_report(uri: str, report: ParsedReport) -> Inspected:
    day = re.match(r"(\d{4})-?(\d{2})-?(\d{2})", report.issued)
    return Inspected(
        uri,
        is_report=True,
        study=known_key(report.study),
        accession=known_key(report.accession),
        patient=f"|{report.patient}" if known_key(report.patient) else "",  # as of a DICOM header without an issuer
        date="-".join(day.groups()) if day else None,
        status=report.status,
        name=report.name,
        issued=report.issued,
    )


def _dicom(uri: str, head: bytes) -> Inspected:
    header = _header(head) or (_header(read_address(uri, 0, _MAX_HEADER)) if len(head) == _HEAD else None)
    if header is None:  # a broken file still becomes a row, so that it is quarantined with a reason
        return Inspected(uri)

    def text(name: str) -> str:
        try:
            return str(header.get(name) or "").strip()
        except Exception:  # pydicom parses an element on first access; a broken one counts as missing
            return ""

    day = re.fullmatch(r"(\d{4})\.?(\d{2})\.?(\d{2})", text("StudyDate"))
    patient = known_key(text("PatientID"))
    facts = Inspected(
        uri,
        study=known_key(text("StudyInstanceUID")),
        accession=known_key(text("AccessionNumber")),
        patient=f"{text('IssuerOfPatientID')}|{patient}" if patient else "",
        date="-".join(day.groups()) if day else None,
        modality=text("Modality") or None,
        region=text("BodyPartExamined").lower() or None,
    )
    if "ContentSequence" in header or text("MIMETypeOfEncapsulatedDocument"):
        return _dicom_report(facts, header)
    if "Rows" in header:
        return facts
    kind = "DICOMDIR" if "DirectoryRecordSequence" in header else f"DICOM {text('Modality') or 'object'}"
    return replace(facts, kind=kind, reason="neither picture nor report")


def _dicom_report(facts: Inspected, header: Any) -> Inspected:
    from mcmfh.archive.report_formats import sr

    try:
        report = sr.parse_dataset(header)
    except NoReport as error:
        return replace(facts, kind=f"DICOM {facts.modality or 'object'}", reason=str(error))
    except DecodeError:
        return replace(facts, is_report=True)
    return replace(facts, is_report=True, status=report.status, issued=report.issued)


def _header(data: bytes) -> Any | None:
    try:
        return read_dicom(data, _MAX_HEADER, pixels=False)
    except DecodeError:
        return None
