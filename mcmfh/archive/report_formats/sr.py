"""DICOM objects that hold a report: structured reports and encapsulated PDF or CDA documents.

What is a report is told by the SOP class (PS3.4 B.5) and by the code of the title (PS3.16 CID 7000, 7010, TID 1500,
4000, 10001 and others): dose reports, key object notes, CAD results and measurements are refused, whatever class they
were stored in. Names of persons and the observation context are never read.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from mcmfh.archive.dicom import read_dicom
from mcmfh.archive.limits import DecodeError, NoReport
from mcmfh.archive.report_formats import cda
from mcmfh.archive.report_formats.attachments import attached_text
from mcmfh.archive.report_formats.characters import decode, without_escapes
from mcmfh.archive.report_formats.identity import Identity, identity
from mcmfh.archive.report_formats.parsed import ParsedReport, Status, cleaned

_SR = "1.2.840.10008.5.1.4.1.1.88."
_REPORT_CLASSES = {f"{_SR}{number}" for number in (11, 22, 33, 34, 35, 1, 2, 3, 4)}  # 1-4: the retired trial classes
_ENCAPSULATED = {"1.2.840.10008.5.1.4.1.1.104.1": "PDF", "1.2.840.10008.5.1.4.1.1.104.2": "CDA"}
_DOSE = "DICOM object is a dose report"
_KEY_OBJECTS = "DICOM object is a key object note"
_CAD = "DICOM object is a result of computer-aided detection"
_MEASURED = "DICOM object holds measurements, no report"
_OTHER_CLASSES = {
    **{f"{_SR}{number}": _DOSE for number in (67, 68, 73, 76)},
    f"{_SR}59": _KEY_OBJECTS,
    **{f"{_SR}{number}": _CAD for number in (50, 65, 69)},
    **{f"{_SR}{number}": _MEASURED for number in (70, 72, 74, 75, 77)},
    **{f"{_SR}{number}": "DICOM object is a log of a procedure" for number in (40, 71)},
}
# Codes of titles, by coding scheme DCM.
_OTHER_TITLES = {
    **dict.fromkeys(("113701", "113500", "113507", "113890", "113811", "113864"), _DOSE),
    **{str(code): _KEY_OBJECTS for code in (*range(113000, 113022), *range(113030, 113040))},
    **dict.fromkeys(("111036", "112000", "112220", "111017", "112198"), _CAD),
    **dict.fromkeys(("126000", "126010", "126001", "126002", "126003"), _MEASURED),
    **dict.fromkeys(("121180", "111400", "121142"), "DICOM object is a log of a procedure"),
}
_TITLE_WORDS = (
    (re.compile(r"\bdoses?\b|dosis|dosimetr", re.I), _DOSE),
    (re.compile(r"key (?:object|image)|of interest|\brejected\b", re.I), _KEY_OBJECTS),
    (re.compile(r"\bCAD\b|computer.aided", re.I), _CAD),
    (re.compile(r"^(?:imaging )?measurements?(?: report)?$", re.I), _MEASURED),
)
# Content that says who, in which language and under which circumstances, not what was found.
_CONTEXT = ("HAS OBS CONTEXT", "HAS ACQ CONTEXT")
_PERSONAL = {str(code) for code in (*range(121008, 121013), *range(121022, 121037), 121046, 121049)}
_MAX_DEPTH = 50
_MAX_BYTES = 64 << 20


def parse(data: bytes) -> ParsedReport:
    """The report in a DICOM object. Raises DecodeError; InputError without pydicom."""
    return parse_dataset(read_dicom(data, _MAX_BYTES))


def parse_dataset(dataset: Any) -> ParsedReport:
    """The report in a pydicom Dataset. Raises DecodeError."""
    _refuse_other_objects(dataset)
    meant = _characters(dataset)
    try:
        report = _encapsulated(dataset) if "EncapsulatedDocument" in dataset else _structured(dataset, meant)
    except DecodeError:
        raise
    except Exception:  # elements are parsed on first access, and a hostile one may raise anything
        raise DecodeError("DICOM report cannot be read") from None
    return cleaned(report, _patient(dataset, meant))


def _refuse_other_objects(header: Any) -> None:
    """Raise NoReport, with a reason, for an object that is no report."""
    kind = _text(header, "SOPClassUID")
    if kind in _OTHER_CLASSES:
        raise NoReport(_OTHER_CLASSES[kind])
    title = header.get("ConceptNameCodeSequence")
    code, scheme, words = _code(title)
    if scheme in ("DCM", "") and code in _OTHER_TITLES:
        raise NoReport(_OTHER_TITLES[code])
    for pattern, reason in _TITLE_WORDS:
        if pattern.search(words) or (kind in _ENCAPSULATED and pattern.search(_text(header, "DocumentTitle"))):
            raise NoReport(reason)
    if "ContentSequence" not in header and kind not in _ENCAPSULATED:
        raise NoReport("DICOM object holds no report")
    if kind and kind not in _REPORT_CLASSES and kind not in _ENCAPSULATED and kind.startswith(_SR):
        raise NoReport("DICOM object holds no report")


def _status_and_time(header: Any) -> tuple[Status, str]:
    """How much the report counts, and when it was written (YYYYMMDDHHMMSS, "" where it does not say)."""
    preliminary = (
        _text(header, "PreliminaryFlag") == "PRELIMINARY"
        or _text(header, "CompletionFlag") == "PARTIAL"
        or _text(header, "VerificationFlag") == "UNVERIFIED"
    )
    amended = "PredecessorDocumentsSequence" in header and bool(header.get("PredecessorDocumentsSequence"))
    status = Status.PRELIMINARY if preliminary else Status.AMENDED if amended else Status.FINAL
    return status, _text(header, "ContentDate") + _text(header, "ContentTime")


def _structured(dataset: Any, meant: Callable[[str], str]) -> ParsedReport:
    parts = list(_content(dataset.ContentSequence, 0, meant))
    if parts and not any(said for said, _ in parts):
        raise NoReport(_MEASURED)
    return _report(dataset, " ".join(text for _, text in parts), _status_and_time(dataset)[0])


def _encapsulated(dataset: Any) -> ParsedReport:
    document = bytes(dataset.EncapsulatedDocument)
    if cda.recognises(decode(document[:8000].replace(b"\0", b""))):
        inner = cda.parse(document.rstrip(b"\0 "))
        return _report(dataset, inner.text, inner.status)
    return _report(dataset, attached_text(document), Status.FINAL)


def _report(dataset: Any, text: str, status: Status) -> ParsedReport:
    return ParsedReport(
        text,
        status,
        study=_text(dataset, "StudyInstanceUID"),
        accession=_text(dataset, "AccessionNumber"),
        patient=_text(dataset, "PatientID"),
        issued=_status_and_time(dataset)[1],
    )


def _content(items: Any, depth: int, meant: Callable[[str], str]) -> Iterator[tuple[bool, str]]:
    """(whether somebody put it into words, "Concept: value.") of every item that says what was found."""
    for item in items if depth < _MAX_DEPTH else ():
        code, _, concept = _code(item.get("ConceptNameCodeSequence"))
        if str(item.get("RelationshipType") or "") in _CONTEXT or code in _PERSONAL:
            continue
        kind, value = item.get("ValueType"), ""
        if kind == "TEXT":
            value = meant(str(item.get("TextValue") or "")).strip()
        elif kind == "CODE":
            value = meant(_code(item.get("ConceptCodeSequence"))[2])
        elif kind == "NUM" and item.get("MeasuredValueSequence"):
            measured = item.MeasuredValueSequence[0]
            unit = meant(_code(measured.get("MeasurementUnitsCodeSequence"))[2])
            value = f"{measured.get('NumericValue', '')} {unit}".strip()
        if value:
            yield kind != "NUM", f"{meant(concept)}: {value}." if concept else f"{value}."
        if item.get("ContentSequence"):
            yield from _content(item.ContentSequence, depth + 1, meant)


def _characters(dataset: Any) -> Callable[[str], str]:
    """What a string as pydicom gives it means: without a declared character set, UTF-8 where its bytes are that."""
    declared = dataset.get("SpecificCharacterSet")
    named = [declared] if isinstance(declared, str) else list(declared or [])
    if any(name not in ("", "ISO_IR 6") for name in named):
        return without_escapes

    def undeclared(text: str) -> str:
        try:
            data = text.encode("latin-1")
        except UnicodeEncodeError:
            return without_escapes(text)
        return decode(data) if not data.isascii() or b"\x1b" in data else text

    return undeclared


def _patient(dataset: Any, meant: Callable[[str], str]) -> Identity:
    others = dataset.get("OtherPatientIDsSequence") or []
    names = [_text(dataset, name) for name in ("PatientName", "OtherPatientNames", "PatientBirthName")]
    numbers = [_text(dataset, name) for name in ("PatientID", "OtherPatientIDs")]
    return identity(
        [*names, *map(meant, names)],
        [*numbers, *(_text(other, "PatientID") for other in others)],
        [_text(dataset, "PatientBirthDate")],
    )


def _code(codes: Any) -> tuple[str, str, str]:
    """(value, coding scheme, meaning) of the first item of a code sequence; "" for what is missing."""
    try:
        item = codes[0]
    except (TypeError, IndexError, KeyError):
        return "", "", ""
    value = _text(item, "CodeValue") or _text(item, "LongCodeValue")
    return value, _text(item, "CodingSchemeDesignator"), _text(item, "CodeMeaning")


def _text(dataset: Any, name: str) -> str:
    try:
        return str(dataset.get(name) or "").strip()
    except Exception:  # pydicom parses an element on first access; a broken one counts as missing
        return ""
