"""Strict schemas: a misspelt key is a fault, although Kubernetes and pydantic let it pass."""

import functools
from importlib import import_module
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

CRDS = Path(__file__).parent / "kuberay_crds"


def faults(document: dict[str, Any]) -> list[str]:
    """What is wrong with a Kubernetes object: unknown keys, missing ones, wrong types. Empty for a good one."""
    group, _, version = document["apiVersion"].rpartition("/")
    if group == "ray.io":
        errors = _ray_schema(document["kind"].lower(), version).iter_errors(document)
        return [f"{'/'.join(map(str, error.absolute_path))}: {error.message[:200]}" for error in errors]
    if group == "monitoring.coreos.com":
        model = getattr(import_module(f"cloudcoil.models.prometheus_operator.{version}"), document["kind"])
        return model_faults(model, document)
    try:
        kubernetes_validate.validate(document, "1.32", strict=True)
    except (kubernetes_validate.ValidationError, kubernetes_validate.InvalidSchemaError) as error:
        return [str(error)]
    return []


def model_faults(model: Any, values: dict[str, Any]) -> list[str]:
    """What a pydantic model refuses of `values`, and what it silently leaves out or changes."""
    try:
        kept = model.model_validate(values).model_dump(mode="json", by_alias=True, exclude_unset=True)
    except ValueError as error:
        return [str(error)]
    return list(_differences(values, kept, ""))


def _differences(given: Any, kept: Any, path: str) -> list[str]:
    if isinstance(given, dict) and isinstance(kept, dict):
        unknown = [f"{path}{key} is not known" for key in given if key not in kept]
        return unknown + [
            fault for key in given if key in kept for fault in _differences(given[key], kept[key], f"{path}{key}.")
        ]
    if isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        pairs = enumerate(zip(given, kept, strict=True))
        return [fault for n, (one, other) in pairs for fault in _differences(one, other, f"{path}{n}.")]
    return [] if given == kept else [f"{path.rstrip('.')} is {given!r}, taken as {kept!r}"]


@functools.cache
def _ray_schema(kind: str, version: str) -> jsonschema.Draft202012Validator:
    definition = yaml.load((CRDS / f"ray.io_{kind}s.yaml").read_text(), Loader=yaml.CSafeLoader)
    versions = definition["spec"]["versions"]
    schema = _closed(next(one for one in versions if one["name"] == version)["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    return jsonschema.Draft202012Validator(schema)


def _closed(schema: Any) -> Any:
    """A structural schema of Kubernetes as JSON Schema in which an object holds no other keys than those listed."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    closed = {
        key: {name: _closed(one) for name, one in value.items()} if key == "properties" else _closed(value)
        for key, value in schema.items()
        if key not in ("description", "default", "format", "nullable") and not key.startswith("x-kubernetes")
    }
    free = "additionalProperties" in schema or schema.get("x-kubernetes-preserve-unknown-fields")
    if schema.get("type") == "object" and "properties" in schema and not free:
        closed["additionalProperties"] = False
    return closed
