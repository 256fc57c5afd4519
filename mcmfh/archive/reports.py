"""Bytes of a report → its text. The format is recognised by content and parsed by its standard.

Formats: FHIR (JSON, XML, ndjson, Bundles), HL7 v2, CDA, DICOM SR and encapsulated documents, PDF, RTF, HTML and plain
text, one module each in `mcmfh.archive.report_formats`. What is none of them, or no report, is refused with a reason.
White space is folded, so that equal wordings are equal strings.
"""

import re

from mcmfh.archive.images import looks_like_dicom
from mcmfh.archive.limits import DecodeError, NotProse
from mcmfh.archive.normalise import normalise
from mcmfh.archive.report_formats import cda, fhir, hl7v2, html, pdf, plain, rtf
from mcmfh.archive.report_formats.characters import decode
from mcmfh.archive.report_formats.parsed import Beside, ParsedReport, choose

# Part of the encoder digest. Raise it with every change by which the same bytes become another text.
REPORT_POLICY = "report-5"
_MAX_BYTES = 64 << 20
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"RIFF", b"GIF8")
_PACKED = (b"PK\x03\x04", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"\x28\xb5\x2f\xfd", b"Rar!")
_NOT_TEXT = (*_PICTURES, *_PACKED, b"\xd0\xcf\x11\xe0")  # the last is of Word's old files


def read_report(data: bytes, beside: Beside | None = None) -> str:
    """The report in `data`, white space folded, NFC. Raises DecodeError, for an empty one too.

    beside: reads a file of the report's own folder by its name, for attachments; None: there are none.
    """
    return normalise(choose(parse_reports(data, beside)).text)


def read_report_text(text: str) -> str:
    """The report in a cell of a table, which may hold any of the formats that are text. Raises DecodeError."""
    return normalise(choose(_parse_text(text, None)).text)


def read_query_text(text: str) -> str:
    """The report that somebody searches with: as `read_report_text`, but text that is no prose counts as it stands.

    The rules of thumb keep tables out of an archive; a person may well search with a few words and numbers.
    """
    try:
        return read_report_text(text)
    except NotProse:
        return normalise(text)


def parse_reports(data: bytes, beside: Beside | None = None) -> list[ParsedReport]:
    """Every report in `data`, as its format gives it. Raises DecodeError."""
    if len(data) > _MAX_BYTES:
        raise DecodeError("file is larger than the limit")
    if looks_like_dicom(data):
        from mcmfh.archive.report_formats import sr  # brings pydicom, which other reports can spare

        return [sr.parse(data)]
    if pdf.recognises(data):
        return [ParsedReport(pdf.text_of_bytes(data))]
    if data.startswith(_NOT_TEXT):
        raise DecodeError("report is not text")
    if data.lstrip()[:1] == b"<":
        return _parse_text(decode(data, html.declared_charset(data) or _xml_charset(data)), beside)
    return _parse_text(decode(data, hl7v2.declared_charset(data) if b"MSH" in data[:64] else None), beside)


def _parse_text(text: str, beside: Beside | None) -> list[ParsedReport]:
    if not text.strip("\ufeff \t\r\n\v\f\x00"):
        raise DecodeError("empty report")
    if fhir.recognises(text):
        return fhir.parse(text, beside)
    if hl7v2.recognises(text):
        return hl7v2.parse(text)
    if cda.recognises(text):
        return [cda.parse(text, beside)]
    if rtf.recognises(text):
        return [ParsedReport(rtf.parse(text))]
    if html.recognises(text):
        return [ParsedReport(html.parse(text))]
    return [plain.parse(text)]


def _xml_charset(data: bytes) -> str | None:
    match = re.match(rb"\s*<\?xml[^>]*encoding\s*=\s*[\"']([A-Za-z0-9_.-]+)", data[:300])
    return match[1].decode() if match else None
