"""JSON documents that state their own digest, and are verified whenever they are read.

A file that is named by its content verifies itself. A numbered document or a marker cannot be named so; it has a field
`digest` instead, the sha256 of the canonical JSON of all the others. Documents of older versions have none, and are
read as they are.
"""

import json
from collections.abc import Mapping
from typing import Any

from mcmfh.errors import InputError
from mcmfh.store import files

DIGEST = "digest"
_WRAPPED = {DIGEST, "value"}  # the fields of a document that is no object


class Damaged(InputError):
    """A stored document is not what was written."""


def sealed(value: Any) -> bytes:
    """`value` as canonical JSON with its digest; what is no object becomes {"digest": …, "value": …}."""
    # Through JSON, as a reader sees it: a tuple is a list there, a key a string.
    plain = json.loads(files.canonical_json(value))
    if not isinstance(plain, dict) or plain.keys() == {"value"}:
        plain = {"value": plain}
    assert DIGEST not in plain, "the field is the document's own"
    return files.canonical_json({**plain, DIGEST: files.digest(plain)})


def opened(uri: str, data: bytes) -> Any:
    """The value in the bytes of the document at `uri`. Raises Damaged."""
    try:
        value = json.loads(data)
        if not isinstance(value, Mapping):
            return value
        plain = dict(value)
        digest = plain.pop(DIGEST, None)
        changed = files.digest(plain) != digest and (digest is not None or _renamed(plain))
    except (ValueError, RecursionError) as error:
        raise Damaged(f"'{uri}' is damaged and no JSON any more; restore it from a copy") from error
    if changed:
        raise Damaged(f"'{uri}' was changed after it was written; restore it from a copy")
    return plain["value"] if value.keys() == _WRAPPED else plain


def states_digest(data: bytes) -> bool:
    """Whether the bytes of a document state its digest."""
    value = json.loads(data)
    return isinstance(value, Mapping) and DIGEST in value


def create(uri: str, value: Any) -> bool:
    """`files.create` of a document."""
    return files.create(uri, sealed(value))


def read(uri: str) -> Any:
    """The value of the document at `uri`. Raises FileNotFoundError and Damaged."""
    return opened(uri, files.read(uri))


def _renamed(plain: dict[str, Any]) -> bool:
    """Whether the name of the field `digest` was changed: another field holds the digest of the rest."""
    texts = [name for name, value in plain.items() if isinstance(value, str) and len(value) == 64]
    return any(files.digest({key: plain[key] for key in plain if key != name}) == plain[name] for name in texts)
