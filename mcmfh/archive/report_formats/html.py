"""HTML → its visible text, by lxml. The head is left out: a title often is the patient's name."""

import re

from lxml import etree
from lxml import html as lxml_html

from mcmfh.archive.limits import DecodeError
from mcmfh.archive.report_formats.characters import decode

_PAGE = re.compile(r"\A\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.I | re.S)
_PIECE = re.compile(r"\A\s*<(?:p|div|span|table|br|b|i|h[1-6]|pre|font|ul|ol|section|article|center)\b[^<>]*/?>", re.I)
# Neither this namespace nor these elements are a page's.
_HL7 = re.compile(r"\sxmlns\s*=\s*[\"'](?:urn:hl7-org:|http://hl7\.org/fhir)|<(?:\w+:)?(?:recordTarget|patientRole)\b")
_DECLARED = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]+)", re.I)
_UNSEEN = ("head", "script", "style", "noscript", "template", "title", "object", "svg", "del", "s", "strike")
_BLOCKS = frozenset(
    (
        "address",
        "article",
        "aside",
        "blockquote",
        "br",
        "caption",
        "dd",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figure",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hr",
        "li",
        "main",
        "ol",
        "p",
        "pre",
        "section",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
        "ul",
    )
)


def recognises(text: str) -> bool:
    """Whether `text` begins as an HTML page or as a piece of one, and is no document of HL7 whose root is renamed."""
    return bool(_PAGE.match(text) or _PIECE.match(text)) and not _HL7.search(text[:20_000])


def declared_charset(data: bytes) -> str | None:
    """The character set that a page declares."""
    match = _DECLARED.search(data[:4096])
    return match[1].decode() if match else None


def text_of_bytes(data: bytes, declared: str | None = None) -> str:
    """The visible text of an HTML file."""
    return parse(decode(data, declared or declared_charset(data)))


def parse(text: str) -> str:
    """The visible text of a page or of a piece of one, entities resolved. Raises DecodeError."""
    text = re.sub(r"\A\s*<\?xml[^>]*>", "", text).replace("\0", "")
    parser = lxml_html.HTMLParser(no_network=True, huge_tree=True)  # many reports never close a tag
    try:
        root = lxml_html.document_fromstring(text or " ", parser=parser)
    except (etree.LxmlError, ValueError, AssertionError):
        raise DecodeError("HTML cannot be read") from None
    if any("Excessive depth" in entry.message for entry in parser.error_log):  # the rest of the text is lost
        raise DecodeError("HTML cannot be read")
    etree.strip_elements(root, etree.Comment, etree.ProcessingInstruction, *_UNSEEN, with_tail=False)
    for element in root.iter():
        style = str(element.get("style") or "").replace(" ", "").lower()
        if "display:none" in style or "visibility:hidden" in style or element.get("hidden") is not None:
            tail = element.tail
            element.clear()
            element.tail = tail
    return "".join(_words(root))


def _words(root: etree._Element) -> list[str]:
    """Text in document order, with a line break around every block."""
    parts: list[str] = []
    for event, element in etree.iterwalk(root, events=("start", "end")):
        if not isinstance(element.tag, str):
            continue
        if element.tag in _BLOCKS:
            parts.append("\n")
        if event == "start":
            parts.append(element.text or "")
        elif element is not root:
            parts.append(element.tail or "")
    return parts
