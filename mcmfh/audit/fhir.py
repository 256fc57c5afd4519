"""Records as FHIR R4 AuditEvents of the profiles IHE BALP: https://profiles.ihe.net/ITI/BALP/"""

import base64
from collections.abc import Mapping
from typing import Any

_PROFILE = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."
_DICOM = "http://dicom.nema.org/resources/ontology/DCM"
_TERMS = "http://terminology.hl7.org/CodeSystem/"
_REST = {"system": f"{_TERMS}audit-event-type", "code": "rest", "display": "Restful Operation"}
_ROLES = f"{_TERMS}object-role"
_TYPES = f"{_TERMS}audit-entity-type"
_QUERIES = ("search", "hash")


def audit_event(record: Mapping[str, Any], identifiers: Mapping[str, str], observer: str) -> dict[str, Any]:
    """A record as an AuditEvent. identifiers: digest of an item or study → the archive's own name of it, if known."""
    is_query = record["did"] in _QUERIES
    interaction = "search" if is_query else "read"
    named = [(kind, digest) for kind in ("items", "studies") for digest in record.get(kind, ())]
    return {
        "resourceType": "AuditEvent",
        "meta": {"profile": [_PROFILE + ("Query" if is_query else "Read")]},
        "type": _REST,
        "subtype": [{"system": "http://hl7.org/fhir/restful-interaction", "code": interaction, "display": interaction}],
        "action": "E" if is_query else "R",
        "recorded": record["time"],
        "outcome": "0",
        "agent": [_user(record), _server(observer)],
        "source": {"observer": {"display": observer}},
        "entity": [*_query(record), *(_seen(kind, digest, identifiers) for kind, digest in named)],
    }


def _user(record: Mapping[str, Any]) -> dict[str, Any]:
    who = record.get("who") or "everybody on this machine"
    agent: dict[str, Any] = {
        "type": {"coding": [{"system": _DICOM, "code": "110153", "display": "Source Role ID"}]},
        "who": {"display": who},
        "requestor": True,
    }
    if record.get("from"):
        agent["network"] = {"address": record["from"], "type": "2"}
    return agent


def _server(observer: str) -> dict[str, Any]:
    return {
        "type": {"coding": [{"system": _DICOM, "code": "110152", "display": "Destination Role ID"}]},
        "who": {"display": observer},
        "requestor": False,
    }


def _query(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    if not record.get("query"):
        return []
    detail = [
        {"type": name, "valueString": str(record[name])}
        for name in ("snapshot", "bundle", "receipt")
        if record.get(name) is not None
    ]
    entity = {
        "type": {"system": _TYPES, "code": "2", "display": "System Object"},
        "role": {"system": _ROLES, "code": "24", "display": "Query"},
        "query": base64.b64encode(f"sha256:{record['query']}".encode()).decode(),
        "detail": detail,
    }
    return [entity]


def _seen(kind: str, digest: str, identifiers: Mapping[str, str]) -> dict[str, Any]:
    return {
        "what": {"identifier": {"value": identifiers.get(digest, digest)}},
        "type": {"system": _TYPES, "code": "2", "display": "System Object"},
        "role": {"system": _ROLES, "code": "3", "display": "Report"},
        "name": {"items": "item", "studies": "study"}[kind],
    }
