"""The list of heads: how far each chain goes, one document for each segment, linked and keyed like the lines.

The list has no gaps and each head holds the MAC of the one before, so a head that was removed is missed. Of heads that
were removed at the end, with their segments, nothing in the store can tell: keep the bucket versioned or locked, or
note elsewhere what `mcmfh audit verify` prints.
"""

import hmac
from dataclasses import asdict, dataclass
from typing import Any

from mcmfh.audit import addresses
from mcmfh.audit.chain import START, Broken, Secret
from mcmfh.store import documents, files, numbered


@dataclass(frozen=True)
class Segment:
    """Lines `first` … `last` of a chain; `closed`: the chain ends with them."""

    chain: str
    first: int
    last: int
    last_mac: str  # of the last line
    lines: str  # sha256 of the lines
    closed: bool


@dataclass(frozen=True)
class Head:
    number: int
    mac: str
    segment: Segment


def publish(root: str, secret: Secret, segment: Segment) -> Head:
    """Append the head of `segment` to the list of the archive at `root`."""
    while True:
        number, previous = _newest(root)
        fields = {**asdict(segment), "number": number + 1, "previous": previous}
        mac = secret.mac(fields)
        if documents.create(addresses.head_file(root, number + 1), {**fields, "mac": mac}):
            return Head(number + 1, mac, segment)


def read_heads(root: str, secret: Secret) -> list[Head]:
    """All heads in order, verified. Raises Broken."""
    heads: list[Head] = []
    previous, expected = START, 1
    folder = addresses.heads_folder(root)
    for block in files.names(folder):
        for number in numbered.numbers(files.join(folder, block)):
            if number != expected:
                raise Broken(f"head {expected} was removed from the list of heads")
            fields = _read(root, number)
            mac = str(fields.pop("mac", ""))
            if not hmac.compare_digest(secret.mac(fields), mac):
                raise Broken(f"head {number} was changed, or the secret is another")
            if fields.pop("previous") != previous or fields.pop("number") != number:
                raise Broken(f"a head before head {number} was replaced")
            heads.append(Head(number, mac, Segment(**fields)))
            previous, expected = mac, number + 1
    return heads


def _read(root: str, number: int) -> dict[str, Any]:
    try:
        fields: dict[str, Any] = documents.read(addresses.head_file(root, number))
    except ValueError as error:
        raise Broken(f"head {number} was changed") from error
    return fields


def _newest(root: str) -> tuple[int, str]:
    """(number, MAC) of the newest head; (0, START) without one."""
    folder = addresses.heads_folder(root)
    for block in reversed(files.names(folder)):
        if numbers := numbered.numbers(files.join(folder, block)):
            return numbers[-1], _read(root, numbers[-1])["mac"]
    return 0, START
