"""FHIR in XML → the same resource as JSON values (https://hl7.org/fhir/xml.html)."""

from typing import Any

from lxml import etree

from mcmfh.archive.report_formats.xml import local_name, root_of

_NAMESPACE = "http://hl7.org/fhir"
_MAX_DEPTH = 100
# Elements that hold a resource; the element in them names its type.
_HOLDERS = ("resource", "contained", "outcome")


def recognises(text: str) -> bool:
    """Whether `text` is an XML document in FHIR's namespace."""
    return _NAMESPACE + '"' in text[:4000] or _NAMESPACE + "'" in text[:4000]


def to_json(text: str) -> Any:
    """The resource in `text` as JSON values. Raises DecodeError."""
    return _resource(root_of(text, "FHIR document cannot be parsed"))


def _resource(element: etree._Element) -> dict[str, Any]:
    return {"resourceType": local_name(element), **_members(element, 0)}


def _members(element: etree._Element, depth: int) -> dict[str, Any]:
    """Members of an element; one that is repeated becomes a list."""
    members: dict[str, Any] = {name: value for name, value in element.attrib.items() if name in ("id", "url")}
    for child in element if depth < _MAX_DEPTH else ():
        name = local_name(child)
        if not name:
            continue
        value = _value(child, depth)
        if name in members:
            earlier = members[name]
            members[name] = [*earlier, value] if isinstance(earlier, list) else [earlier, value]
        else:
            members[name] = value
    return members


def _value(element: etree._Element, depth: int) -> Any:
    if etree.QName(element).namespace == "http://www.w3.org/1999/xhtml":
        return etree.tostring(element, encoding="unicode", with_tail=False)
    if element.get("value") is not None:
        return element.get("value")
    if local_name(element) in _HOLDERS and len(element):
        inner = next((child for child in element if local_name(child)), None)
        return _resource(inner) if inner is not None else {}
    return _members(element, depth + 1)
