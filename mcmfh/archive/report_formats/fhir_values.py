"""Values of FHIR's data types, read from JSON of any shape: what is not as the standard says counts as missing."""

from collections.abc import Iterator, Mapping
from typing import Any


def mapping(value: Any) -> Mapping[str, Any]:
    """`value` where it is a JSON object; else an empty one."""
    return value if isinstance(value, Mapping) else {}


def listed(value: Any) -> list[Any]:
    """`value` as a list: [] of nothing, [value] of a single one."""
    return value if isinstance(value, list) else [] if value is None else [value]


def string(value: Any) -> str:
    """`value` where it is a string or a number; else ""."""
    return value if isinstance(value, str) else str(value) if isinstance(value, int | float) else ""


def code_text(concept: Any) -> str:
    """The words of a CodeableConcept or a Coding."""
    concept = mapping(concept)
    concept = mapping(concept.get("concept")) or concept  # R5's CodeableReference
    displays = [string(mapping(coding).get("display")) for coding in listed(concept.get("coding"))]
    return string(concept.get("text")) or next(filter(None, displays), "") or string(concept.get("display"))


def identifiers(resource: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(system, value, code of its type) of every Identifier of a resource."""
    for one in map(mapping, listed(resource.get("identifier"))):
        codes = [string(mapping(coding).get("code")) for coding in listed(mapping(one.get("type")).get("coding"))]
        if value := string(one.get("value")):
            yield string(one.get("system")), value, next(filter(None, codes), "")


def people(names: Any) -> Iterator[str]:
    """Every HumanName as one string."""
    for name in listed(names):
        name = mapping(name)
        family = [string(one) for one in listed(name.get("family"))]
        given = [string(one) for one in listed(name.get("given"))]
        yield " ".join([*family, *given])
        yield string(name.get("text"))


def reference_names(reference: Any) -> list[str]:
    """Every name by which a document may hold what a Reference points to: "#x", "Type/x", an absolute URL."""
    name = string(mapping(reference).get("reference")) or (reference if isinstance(reference, str) else "")
    if not name:
        return []
    plain = name.partition("/_history/")[0]
    return list(dict.fromkeys([name, plain, "/".join(plain.split("/")[-2:])]))
