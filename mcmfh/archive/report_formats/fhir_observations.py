"""A FHIR Observation → a line of text: what was looked at and what was seen."""

from collections.abc import Iterator, Mapping
from typing import Any

from mcmfh.archive.report_formats.fhir_values import code_text, listed, mapping, string

_WITHDRAWN = ("entered-in-error", "cancelled")


def observation_text(observation: Mapping[str, Any]) -> str:
    """ "Concept: value." for the observation and each of its components; "" of a withdrawn one."""
    if string(observation.get("status")) in _WITHDRAWN:
        return ""
    lines = [_line(observation), *(_line(mapping(one)) for one in listed(observation.get("component")))]
    return "\n".join(filter(None, lines))


def _line(observation: Mapping[str, Any]) -> str:
    said = ". ".join(filter(None, _values(observation)))
    if not said:
        return ""
    concept = code_text(observation.get("code"))
    return f"{concept}: {said}" if concept else said


def _values(observation: Mapping[str, Any]) -> Iterator[str]:
    yield string(observation.get("valueString")) or string(observation.get("valueMarkdown"))
    yield code_text(observation.get("valueCodeableConcept"))
    quantity = mapping(observation.get("valueQuantity"))
    if "value" in quantity:
        yield f"{string(quantity['value'])} {string(quantity.get('unit')) or string(quantity.get('code'))}".strip()
    for note in map(mapping, listed(observation.get("note"))):
        yield string(note.get("text"))
    yield string(observation.get("comment")) or string(observation.get("comments"))
