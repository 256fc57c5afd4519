"""FHIR DSTU2 to R5 → reports: DiagnosticReport and DocumentReference, alone, in a Bundle, or one a line (ndjson).

JSON and XML. The text of a report is its attachment (`presentedForm`), else its results, then its conclusion; only a
report with none of these is read by its Composition or its narrative.
https://hl7.org/fhir/diagnosticreport.html, https://hl7.org/fhir/documentreference.html
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mcmfh.archive.limits import DecodeError, NoReport
from mcmfh.archive.report_formats import fhir_xml, html
from mcmfh.archive.report_formats.attachments import attached_text, charset_of, from_base64
from mcmfh.archive.report_formats.fhir_observations import observation_text
from mcmfh.archive.report_formats.fhir_values import (
    identifiers,
    listed,
    mapping,
    people,
    reference_names,
    string,
)
from mcmfh.archive.report_formats.identity import Identity, identity
from mcmfh.archive.report_formats.parsed import Beside, ParsedReport, Status, cleaned, distinct_parts

_STATUS = {
    "registered": Status.PRELIMINARY,
    "partial": Status.PRELIMINARY,
    "preliminary": Status.PRELIMINARY,
    "unknown": Status.PRELIMINARY,
    "final": Status.FINAL,
    "amended": Status.AMENDED,
    "corrected": Status.AMENDED,
    "appended": Status.AMENDED,
    "modified": Status.AMENDED,
}
_WITHDRAWN = {
    "entered-in-error": "report was entered in error",
    "cancelled": "report was cancelled",
    "superseded": "report was superseded",
    "deprecated": "report was superseded",
}
_STUDY_UID = ("urn:dicom:uid", "urn:ietf:rfc:3986")
_EASIEST = ("text/plain", "text/html", "application/xhtml", "text/rtf", "application/rtf", "application/pdf")
_MAX_DEPTH = 20


@dataclass
class _Delivery:
    """The resources of one document, by every name that a reference may use."""

    number: int
    resources: list[Mapping[str, Any]] = field(default_factory=list)
    by_name: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def add(self, resource: Mapping[str, Any], full_url: str = "", depth: int = 0) -> None:
        """Take `resource` and, of a Bundle, those in it."""
        kind, identifier = string(resource.get("resourceType")), string(resource.get("id"))
        if kind in ("Bundle", "Parameters") and depth < _MAX_DEPTH:
            for entry in [*listed(resource.get("entry")), *listed(resource.get("parameter"))]:
                entry = mapping(entry)
                if string(mapping(entry.get("request")).get("method")) != "DELETE":
                    self.add(mapping(entry.get("resource")), string(entry.get("fullUrl")), depth + 1)
            return
        self.resources.append(resource)
        for name in (full_url, f"{kind}/{identifier}" if identifier else ""):
            if name:
                self.by_name[name] = resource

    def find(self, reference: Any, inside: Mapping[str, Any]) -> Mapping[str, Any]:
        """The resource that `reference` of the resource `inside` names; empty where it is not in the document."""
        for name in reference_names(reference):
            if name.startswith("#"):
                for contained in map(mapping, listed(inside.get("contained"))):
                    if string(contained.get("id")).lstrip("#") == name[1:]:
                        return contained
            elif name in self.by_name:
                return self.by_name[name]
        return {}


def recognises(text: str) -> bool:
    """Whether `text` is FHIR, in JSON or in XML."""
    start = text.lstrip()[:1]
    return (start in ("{", "[") and '"resourceType"' in text) or (start == "<" and fhir_xml.recognises(text))


def parse(text: str, beside: Beside | None = None) -> list[ParsedReport]:
    """Every report in `text` that stands. Raises DecodeError with the reason where there is none."""
    reports: list[ParsedReport] = []
    refused: list[DecodeError] = []
    for number, document in enumerate(_documents(text)):
        delivery = _Delivery(number)
        for resource in listed(document):
            delivery.add(mapping(resource))
        for resource in delivery.resources:
            kind = resource.get("resourceType")
            if kind not in ("DiagnosticReport", "DocumentReference"):
                continue
            try:
                reports.append(_report(resource, delivery, beside))
            except DecodeError as error:
                refused.append(error)
    if not reports:
        raise refused[0] if refused else NoReport("JSON holds no FHIR DiagnosticReport")
    return reports


def documents(text: str) -> list[str]:
    """The lines of an ndjson file, each a document of its own; [text] for any other."""
    try:
        json.loads(text)
        return [text]
    except (ValueError, RecursionError):
        lines = [line for line in text.splitlines() if line.strip()]
    return lines if len(lines) > 1 and all(line.lstrip().startswith("{") for line in lines) else [text]


def _documents(text: str) -> Iterator[Any]:
    if text.lstrip().startswith("<"):
        yield fhir_xml.to_json(text)
        return
    for line in documents(text):
        try:
            yield json.loads(line)
        except (ValueError, RecursionError):
            raise DecodeError("FHIR document cannot be parsed") from None


def _report(resource: Mapping[str, Any], delivery: _Delivery, beside: Beside | None) -> ParsedReport:
    if resource["resourceType"] == "DocumentReference":
        status = string(resource.get("docStatus")) or "final"
        withdrawn = _WITHDRAWN.get(string(resource.get("status"))) or _WITHDRAWN.get(status)
        forms = [mapping(mapping(content).get("attachment")) for content in listed(resource.get("content"))]
    else:
        status = string(resource.get("status")) or "final"
        withdrawn = _WITHDRAWN.get(status)
        forms = [mapping(form) for form in listed(resource.get("presentedForm"))]
    if withdrawn:
        raise NoReport(withdrawn)
    text = _text(resource, forms, delivery, beside)
    if not text.strip():
        raise DecodeError("empty report")
    study, accession = _study(resource, delivery)
    report = ParsedReport(
        text,
        _STATUS.get(status, Status.PRELIMINARY),
        study,
        accession,
        patient=_patient_key(resource, delivery),
        name=next((value for _, value, _ in identifiers(resource)), "") or string(resource.get("id")),
        issued=string(resource.get("issued"))
        or string(mapping(resource.get("meta")).get("lastUpdated"))
        or string(resource.get("date")),
        delivery=delivery.number,
    )
    return cleaned(report, _patients(resource, delivery))


def _text(
    resource: Mapping[str, Any], forms: Sequence[Mapping[str, Any]], delivery: _Delivery, beside: Beside | None
) -> str:
    attached, reason = _attachment(forms, delivery, resource, beside)
    found = [_result(one, resource, delivery, 0) for one in listed(resource.get("result"))]
    parts = [attached or "\n".join(filter(None, found)), string(resource.get("conclusion"))]
    if not any(map(str.strip, parts)):
        parts = [_composition(resource, delivery)]
    narrative = string(mapping(resource.get("text")).get("div"))
    if not any(map(str.strip, parts)) and narrative and not reason:
        parts = [html.parse(narrative)]
    if not any(map(str.strip, parts)) and reason:
        raise DecodeError(reason)
    if not any(map(str.strip, parts)) and listed(resource.get("result")):
        raise DecodeError("results of the report are in another file")
    return "\n".join(distinct_parts(parts))


def _attachment(
    forms: Sequence[Mapping[str, Any]], delivery: _Delivery, resource: Mapping[str, Any], beside: Beside | None
) -> tuple[str, str]:
    """(text of the first attachment that can be read, why not): by the standard all of them say the same."""

    def ease(form: Mapping[str, Any]) -> int:
        kind = string(form.get("contentType")).lower()
        return next((place for place, name in enumerate(_EASIEST) if kind.startswith(name)), len(_EASIEST))

    reason = ""
    for form in sorted(forms, key=ease):
        kind = string(form.get("contentType"))
        try:
            if data := _attached_bytes(form, delivery, resource, beside):
                if (text := attached_text(data, charset_of(kind))).strip():
                    return text, ""
                reason = reason or "empty report"
        except DecodeError as error:
            reason = reason or str(error).replace("attachment cannot", "FHIR attachment cannot")
    return "", reason


def _attached_bytes(
    form: Mapping[str, Any], delivery: _Delivery, resource: Mapping[str, Any], beside: Beside | None
) -> bytes | None:
    if data := string(form.get("data")):
        return from_base64(data)
    url = string(form.get("url"))
    if not url:
        return None
    if binary := delivery.find({"reference": url}, resource):
        return from_base64(string(binary.get("data")) or string(binary.get("content")))
    data_beside = beside(url) if beside else None
    if data_beside is None:
        raise DecodeError("attachment of the report is not beside it")
    return data_beside


def _result(reference: Any, resource: Mapping[str, Any], delivery: _Delivery, depth: int) -> str:
    """The text of a result Observation and of its members."""
    observation = delivery.find(reference, resource)
    if observation.get("resourceType") != "Observation" or depth > _MAX_DEPTH:
        return ""
    members = [*listed(observation.get("hasMember")), *map(_target, listed(observation.get("related")))]
    below = [_result(member, resource, delivery, depth + 1) for member in members if member]
    return "\n".join(filter(None, [observation_text(observation), *below]))


def _target(related: Any) -> Any:
    """A member as DSTU2 and STU3 name it."""
    kind = string(mapping(related).get("type"))
    return mapping(related).get("target") if kind == "has-member" else None


def _composition(resource: Mapping[str, Any], delivery: _Delivery) -> str:
    """The sections of the Composition of a Bundle of type document; empty where there is none."""
    named = delivery.find(resource.get("composition"), resource)
    compositions = [named] if named else [one for one in delivery.resources if one.get("resourceType") == "Composition"]
    sections = [section for one in compositions for section in listed(one.get("section"))]
    return "\n".join(_section(mapping(section), 0) for section in sections)


def _section(section: Mapping[str, Any], depth: int) -> str:
    if depth > _MAX_DEPTH:
        return ""
    title, div = string(section.get("title")), string(mapping(section.get("text")).get("div"))
    text = html.parse(div) if div else ""
    own = [f"{title}: {text}" if title and text.strip() else text]
    return "\n".join([*own, *(_section(mapping(one), depth + 1) for one in listed(section.get("section")))])


def _study(resource: Mapping[str, Any], delivery: _Delivery) -> tuple[str, str]:
    """(StudyInstanceUID, accession number), each "" where the report does not say."""
    study = accession = ""
    references = [one for name in ("imagingStudy", "study", "basedOn") for one in listed(resource.get(name))]
    pointed = [delivery.find(reference, resource) for reference in references]
    by_value = [mapping(mapping(reference).get("identifier")) for reference in references]
    sources = [resource, *pointed, {"identifier": [one for one in by_value if one]}]
    for source in sources:
        study = study or string(source.get("uid")).removeprefix("urn:oid:")
        for system, value, kind in identifiers(source):
            if system == _STUDY_UID[0] or (system == _STUDY_UID[1] and value.startswith("urn:oid:")):
                study = study or value.removeprefix("urn:oid:")
            elif kind == "ACSN":
                accession = accession or value
    return study, accession


def _patient_key(resource: Mapping[str, Any], delivery: _Delivery) -> str:
    """What tells the report's patient from others: an identifier, else the reference to the patient."""
    subject = resource.get("subject")
    numbers = [value for _, value, _ in identifiers(delivery.find(subject, resource))]
    own = string(mapping(mapping(subject).get("identifier")).get("value"))
    return next(iter([*numbers, *filter(None, [own]), *reference_names(subject)]), "")


def _patients(resource: Mapping[str, Any], delivery: _Delivery) -> Identity:
    """Every patient whom the document names, be it in a Patient resource or at the report's reference to one."""
    subject = resource.get("subject")
    patients = [delivery.find(subject, resource)]
    patients += [one for one in map(mapping, listed(resource.get("contained"))) if one.get("resourceType") == "Patient"]
    patients += [one for one in delivery.resources if one.get("resourceType") == "Patient"]
    names = [name for patient in patients for name in people(patient.get("name"))]
    numbers = [value for patient in patients for _, value, _ in identifiers(patient)]
    own = mapping(mapping(subject).get("identifier"))
    return identity(
        [*names, string(mapping(subject).get("display"))],
        [*numbers, string(own.get("value"))],
        [string(patient.get("birthDate")) for patient in patients],
    )
