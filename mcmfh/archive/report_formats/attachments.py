"""A report inside another document (FHIR attachment, HL7 ED, CDA nonXMLBody, encapsulated DICOM) → its text."""

import binascii
from base64 import b64decode

from mcmfh.archive.limits import DecodeError
from mcmfh.archive.report_formats import html, pdf, plain, rtf
from mcmfh.archive.report_formats.characters import decode

_NO_TEXT = (b"\x89PNG", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"RIFF", b"GIF8", b"PK\x03\x04", b"\xd0\xcf\x11\xe0")


def attached_text(data: bytes, declared: str | None = None) -> str:
    """The text of `data` (PDF, RTF, HTML or plain text, told apart by content). Raises DecodeError."""
    if pdf.recognises(data):
        return pdf.text_of_bytes(data)
    if data.startswith(_NO_TEXT):
        raise DecodeError("report is not text")
    text = decode(data, declared)
    if rtf.recognises(text):
        return rtf.parse(text)
    if html.recognises(text):
        return html.text_of_bytes(data, declared)
    return plain.parse(text).text


def charset_of(content_type: str) -> str | None:
    """The character set of a MIME type such as "text/plain; charset=utf-8"."""
    for parameter in content_type.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip("\"'") or None
    return None


def from_base64(text: str) -> bytes:
    """The bytes that `text` stands for, line breaks passed over. Raises DecodeError."""
    try:
        return b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise DecodeError("attachment cannot be decoded") from None
