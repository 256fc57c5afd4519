"""HL7 CDA R2 → the narrative of its sections. The header, where the patient stands, is not read for text.

A document whose type is no finding report (a summary, a letter, a medication list) is refused.
https://www.hl7.org/implement/standards/product_brief.cfm?product_id=7
"""

import zlib
from collections.abc import Iterator

from lxml import etree

from mcmfh.archive.limits import DecodeError, NoReport
from mcmfh.archive.report_formats.attachments import attached_text, charset_of, from_base64
from mcmfh.archive.report_formats.identity import Identity, identity
from mcmfh.archive.report_formats.parsed import Beside, ParsedReport, Status, cleaned
from mcmfh.archive.report_formats.xml import local_name, root_of

_V3 = "urn:hl7-org:v3"
_NS = {"v": _V3, "sdtc": "urn:hl7-org:sdtc", "ps3-20": "urn:dicom-org:ps3-20"}
# LOINC codes of documents that describe a patient and not an examination.
_OTHER_DOCUMENTS = frozenset(
    """34133-9 60591-5 18842-5 11488-4 34117-2 57133-1 28570-0 11506-3 18761-7 52521-2 57016-8 56445-0 10160-0 10155-0
    11369-6 29549-3 77604-7 51852-2 46241-6 59284-0 64290-0 82593-5 86533-7 48764-5""".split()  # noqa: SIM905 (a table)
)
_NO_NARRATIVE = ("121181",)  # DCM: the catalogue of the study's DICOM objects
_WITHDRAWN = {
    "nullified": "report was entered in error",
    "cancelled": "report was cancelled",
    "aborted": "report was cancelled",
    "obsolete": "report was superseded",
}
_BLOCKS = ("paragraph", "br", "list", "item", "table", "tr", "td", "th", "caption", "thead", "tbody", "footnote")
_HEAD = 100_000  # characters; comments and declarations may stand before the root element
_MAX_DEPTH = 50
_MAX_BYTES = 64 << 20
_COMPRESSIONS = ("DF", "ZL", "GZ")
_WINDOWS = (47, -15)  # of zlib: with a header of zlib or gzip, and without one


def recognises(text: str) -> bool:
    """Whether `text` is a CDA document."""
    start = text.lstrip("\ufeff \r\n\t")[:1]
    return start == "<" and "ClinicalDocument" in text[:_HEAD] and _V3 in text[:_HEAD]


def parse(data: str | bytes, beside: Beside | None = None) -> ParsedReport:
    """The report in a CDA document; bytes are decoded as its XML declaration says. Raises DecodeError.

    beside: reads a file of the document's own folder by its name, for a body that the document points to.
    """
    root = root_of(data, "CDA document cannot be parsed")
    if root.tag != f"{{{_V3}}}ClinicalDocument":
        raise NoReport("XML holds no report")
    if _first(root, "v:code/@code") in _OTHER_DOCUMENTS:
        raise NoReport("CDA document is no report of an examination")
    state = _first(root, "sdtc:statusCode/@code")
    if state in _WITHDRAWN:
        raise NoReport(_WITHDRAWN[state])
    status = Status.PRELIMINARY if state in ("active", "held", "new") else Status.FINAL
    if root.xpath("v:relatedDocument[@typeCode='RPLC' or @typeCode='APND']", namespaces=_NS):
        status = max(status, Status.AMENDED) if status > Status.PRELIMINARY else status
    text = "\n".join(_body(root, beside))
    if not text.strip():
        raise DecodeError("empty report")
    report = ParsedReport(
        text,
        status,
        study=_study(root),
        accession=_first(root, "v:inFulfillmentOf/v:order/ps3-20:accessionNumber/@extension")
        or _first(root, "v:inFulfillmentOf/v:order/v:id/@extension"),
        patient=_first(root, "v:recordTarget/v:patientRole/v:id/@extension"),
        name=_first(root, "v:setId/@extension") or _first(root, "v:setId/@root"),
        issued=f"{_first(root, 'v:versionNumber/@value'):0>6} {_first(root, 'v:effectiveTime/@value')}",
    )
    return cleaned(report, _patient(root))


def _first(root: etree._Element, path: str) -> str:
    found = root.xpath(path, namespaces=_NS)
    return str(found[0]).strip() if isinstance(found, list) and found else ""


def _study(root: etree._Element) -> str:
    """StudyInstanceUID: the study act in the object catalogue, or the act that the document reports on."""
    acts = root.xpath(".//v:act[v:code/@code='113014' or v:code/@code='110180']/v:id/@root", namespaces=_NS)
    served = root.xpath("v:documentationOf/v:serviceEvent/v:id/@root", namespaces=_NS)
    return next((str(uid) for uid in [*acts, *served]), "")


def _patient(root: etree._Element) -> Identity:
    roles = root.xpath("v:recordTarget/v:patientRole", namespaces=_NS)
    names = [" ".join(name.itertext()) for role in roles for name in role.xpath(".//v:name", namespaces=_NS)]
    numbers = [str(number) for role in roles for number in role.xpath(".//v:id/@extension", namespaces=_NS)]
    births = [str(birth) for role in roles for birth in role.xpath(".//v:birthTime/@value", namespaces=_NS)]
    return identity(names, numbers, births)


def _body(root: etree._Element, beside: Beside | None) -> Iterator[str]:
    for text in root.xpath("v:component/v:nonXMLBody/v:text", namespaces=_NS):
        content = "".join(text.itertext())
        kind, address = text.get("mediaType") or "text/plain", _first(text, "v:reference/@value")
        if text.get("representation") == "B64":
            yield attached_text(_unpacked(from_base64(content), text.get("compression")), charset_of(kind))
        elif content.strip():
            yield attached_text(content.encode(), "utf-8")
        elif beside and address and (data := beside(address)) is not None:
            yield attached_text(data, charset_of(kind))
        else:
            raise DecodeError("attachment of the report is not beside it")
    for section in root.xpath("v:component/v:structuredBody/v:component/v:section", namespaces=_NS):
        yield from _section(section, 0)


def _unpacked(data: bytes, compression: str | None) -> bytes:
    """`data` unpacked as the attribute `compression` says. Raises DecodeError."""
    if not compression:
        return data
    for window in _WINDOWS if compression in _COMPRESSIONS else ():
        unpack = zlib.decompressobj(window)
        try:
            text = unpack.decompress(data, _MAX_BYTES)
        except zlib.error:
            continue
        if unpack.unconsumed_tail:
            raise DecodeError("file is larger than the limit")
        return text
    raise DecodeError("attachment cannot be decoded")


def _section(section: etree._Element, depth: int) -> Iterator[str]:
    if depth > _MAX_DEPTH or _first(section, "v:code/@code") in _NO_NARRATIVE:
        return
    title = _first(section, "v:title/text()")
    for text in section.xpath("v:text", namespaces=_NS):
        words = "".join(_words(text, 0))
        if words.strip():
            yield f"{title}: {words}" if title else words
    for inner in section.xpath("v:component/v:section", namespaces=_NS):
        yield from _section(inner, depth + 1)


def _words(element: etree._Element, depth: int) -> Iterator[str]:
    """Text of a narrative block; what a revision deleted is left out."""
    name = local_name(element)
    if not name or element.get("revised") == "delete" or depth > 4 * _MAX_DEPTH:
        return
    around = "\n" if name in _BLOCKS else ""
    yield around
    yield element.text or ""
    for child in element:
        yield from _words(child, depth + 1)
        yield child.tail or ""
    yield around
