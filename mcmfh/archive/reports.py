"""Extracts the text of a report from its bytes: plain text, a FHIR DiagnosticReport (JSON) or a DICOM SR.

The format is recognised from the bytes. White space is folded, so that equal wordings become equal strings.
"""

import base64
import binascii
import html
import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

from mcmfh.archive.images import DecodeError, looks_like_dicom

MAX_CHARACTERS = 100_000
_MAX_BYTES = 64 << 20
_NOT_TEXT = (b"%PDF", b"{\\rtf", b"\x89PNG", b"\xff\xd8\xff", b"PK\x03\x04", b"II*\0", b"MM\0*", b"RIFF", b"GIF8")
_MAX_DEPTH = 50


def read_report(data: bytes) -> str:
    """The normalised text of the report in `data`. Raises DecodeError where it is empty or cannot be read."""
    if len(data) > _MAX_BYTES:
        raise DecodeError("file is larger than the limit")
    if looks_like_dicom(data):
        return normalise(" ".join(_structured_report(data)))
    text = _text(data)
    if text.lstrip()[:1] in ("{", "[") and '"resourceType"' in text:
        return normalise(_fhir(text))
    if "http://hl7.org/fhir" in text[:2000] and text.lstrip().startswith("<"):
        raise DecodeError("FHIR in XML is not supported")
    return normalise(text)


def normalise(text: str) -> str:
    """`text` in NFC, with every run of white space and control characters folded into one space.

    Raises DecodeError where nothing is left or the text is longer than MAX_CHARACTERS.
    """
    text = " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f\ufeff]+", " ", unicodedata.normalize("NFC", text)).split())
    if not text:
        raise DecodeError("empty report")
    if len(text) > MAX_CHARACTERS:
        raise DecodeError("report is longer than the limit")
    return text


def _text(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif data.startswith(_NOT_TEXT) or b"\0" in data:
        raise DecodeError("report is not text")
    else:
        encoding = "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _fhir(text: str) -> str:
    """Conclusion and text attachments of every DiagnosticReport in a FHIR resource or Bundle; else the narrative."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise DecodeError("FHIR document cannot be parsed") from None
    reports = list(_diagnostic_reports(document))
    if not reports:
        raise DecodeError("JSON holds no FHIR DiagnosticReport")
    parts: list[str] = []
    for report in reports:
        candidates = [*_attachments(report), report.get("conclusion")]
        narrative = report.get("text")
        if not any(candidates) and isinstance(narrative, dict):
            candidates.append(_without_tags(str(narrative.get("div") or "")))
        for part in candidates:  # a conclusion often repeats the end of the attached text
            if isinstance(part, str) and not any(part in earlier for earlier in parts):
                parts.append(part)
    return " ".join(parts)


def _diagnostic_reports(document: Any) -> Iterator[dict[str, Any]]:
    if isinstance(document, dict) and document.get("resourceType") == "DiagnosticReport":
        yield document
    elif isinstance(document, dict) and document.get("resourceType") == "Bundle":
        for entry in document.get("entry") or []:
            if isinstance(entry, dict):
                yield from _diagnostic_reports(entry.get("resource"))


def _attachments(report: dict[str, Any]) -> Iterator[str]:
    for form in report.get("presentedForm") or []:
        kind = str(form.get("contentType") or "text/plain") if isinstance(form, dict) else ""
        if kind.startswith("text/") and form.get("data"):
            try:
                text = _text(base64.b64decode(form["data"], validate=False))
            except (binascii.Error, ValueError, TypeError):
                raise DecodeError("FHIR attachment cannot be decoded") from None
            yield _without_tags(text) if "html" in kind else text


def _without_tags(markup: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", " ", markup))


def _structured_report(data: bytes) -> Iterator[str]:
    """Texts, codes and measurements of an SR document, each preceded by its concept name; person names are left out."""
    from mcmfh.archive.dicom import read_dicom

    dataset = read_dicom(data, _MAX_BYTES)
    if "ContentSequence" not in dataset:
        raise DecodeError("DICOM object holds no report")
    try:
        yield from _content(dataset.ContentSequence, 0)
    except Exception:  # pydicom parses an element on first access, and a hostile one may raise anything
        raise DecodeError("DICOM report cannot be read") from None


def _content(items: Any, depth: int) -> Iterator[str]:
    for item in items if depth < _MAX_DEPTH else ():
        kind, value = item.get("ValueType"), ""
        if kind == "TEXT":
            value = str(item.get("TextValue") or "")
        elif kind == "CODE":
            value = _meaning(item.get("ConceptCodeSequence"))
        elif kind == "NUM" and item.get("MeasuredValueSequence"):
            measured = item.MeasuredValueSequence[0]
            value = (
                f"{measured.get('NumericValue', '')} {_meaning(measured.get('MeasurementUnitsCodeSequence'))}".strip()
            )
        if value:
            concept = _meaning(item.get("ConceptNameCodeSequence"))
            yield f"{concept}: {value}." if concept else f"{value}."
        if item.get("ContentSequence"):
            yield from _content(item.ContentSequence, depth + 1)


def _meaning(codes: Any) -> str:
    return str(codes[0].get("CodeMeaning") or "") if codes else ""
