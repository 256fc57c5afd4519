"""A chain of records: each line holds its number, the MAC of the line before, and its own MAC over all of that."""

import hashlib
import hmac
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mcmfh.errors import InputError
from mcmfh.store import files

LEAST_SECRET = 32  # bytes
START = "0" * 64  # what stands for the MAC before the first line


class Broken(Exception):
    """A chain is not what was written; the message says where."""


@dataclass(frozen=True)
class Secret:
    """What MACs and digests of identifiers are keyed by."""

    key: bytes

    def mac(self, fields: Mapping[str, Any]) -> str:
        """HMAC-SHA256 (hex) of the canonical JSON of `fields`."""
        return hmac.digest(self.key, files.canonical_json(fields), hashlib.sha256).hex()

    def name(self, kind: str, identifier: str) -> str:
        """32 hex digits that stand for an identifier. `kind`: item, study."""
        text = f"{kind}:{identifier}".encode("utf-8", "surrogateescape")
        return hmac.digest(self.key, text, hashlib.sha256).hex()[:32]


def read_secret(uri: str) -> Secret:
    """The secret in the file at `uri`. Raises InputError where it is missing or short."""
    try:
        key = files.read(uri).strip()
    except OSError as error:
        raise InputError(
            f"audit secret '{uri}' cannot be read ({type(error).__name__}); make one with "
            "`umask 077; openssl rand -hex 32 > FILE`, and keep a copy outside the store"
        ) from error
    if len(key) < LEAST_SECRET:
        raise InputError(
            f"audit secret '{uri}' has fewer than {LEAST_SECRET} bytes; make one with openssl rand -hex 32"
        )
    return Secret(key)


def next_line(secret: Secret, number: int, previous: str, record: Mapping[str, Any]) -> tuple[bytes, str]:
    """(the line that records `record`, with its line feed; its MAC)."""
    fields = {**record, "number": number, "previous": previous}
    mac = secret.mac(fields)
    return files.canonical_json({**fields, "mac": mac}) + b"\n", mac


def parsed_lines(data: bytes) -> list[dict[str, Any]]:
    """The fields of each line, not verified, but a number is a number. Raises Broken for what no chain holds."""
    try:
        lines = [json.loads(line) for line in data.splitlines()]
        if all(isinstance(fields["number"], int) and isinstance(fields["previous"], str) for fields in lines):
            return lines
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise Broken("a line was changed")


def verified_records(secret: Secret, data: bytes, first: int, previous: str) -> Iterator[dict[str, Any]]:
    """The records in the lines `data`, of which the first must have that number and follow that MAC. Raises Broken."""
    for number, line in enumerate(_lines(data), first):
        try:
            fields = json.loads(line)
            mac = fields.pop("mac")
            sound = hmac.compare_digest(secret.mac(fields), mac) and line == files.canonical_json(
                {**fields, "mac": mac}
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            sound = False
        if not sound:
            raise Broken(f"line {number} was changed")
        if (fields["number"], fields["previous"]) != (number, previous):
            raise Broken(f"a line before line {fields['number']} was removed")
        previous = mac
        yield fields


def whole_lines(data: bytes) -> bytes:
    """`data` up to its last line feed: a process may have died while it wrote a line."""
    return data[: data.rfind(b"\n") + 1]


def _lines(data: bytes) -> Iterable[bytes]:
    if data and not data.endswith(b"\n"):
        raise Broken("the last line is cut")
    return data.split(b"\n")[:-1]
