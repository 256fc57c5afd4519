"""XML of strangers, by lxml: no entities, no DTD, no network."""

import re

from lxml import etree

from mcmfh.archive.limits import DecodeError


def root_of(document: str | bytes, reason: str) -> etree._Element:
    """The root element of `document`. Raises DecodeError(`reason`) where it is no XML, or XML with a DTD."""
    if isinstance(document, str):
        document = re.sub(r"\A\s*(?:<\?xml[^>]*\?>)?", "", document.lstrip("\ufeff")).encode("utf-8", "replace")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=False)
    try:
        root = etree.fromstring(document, parser)
    except (etree.XMLSyntaxError, ValueError):
        raise DecodeError(reason) from None
    if root.getroottree().docinfo.doctype:
        raise DecodeError("XML has a document type definition")
    return root


def local_name(element: etree._Element) -> str:
    """The name of an element without its namespace; "" of comments and processing instructions."""
    return etree.QName(element).localname if isinstance(element.tag, str) else ""
