"""Numbered, create-only documents: how a store without locks agrees on an order of events.

`000001.json`, `000002.json`, … in one folder. A document becomes visible by one create-only write. A writer that loses
the race for a number reads the winner, builds on it and tries the next number. Nothing is overwritten, but by an
erasure (see snapshots/erase.py).
"""

import re
from collections.abc import Callable
from typing import Any

from mcmfh.store import documents, files


def name(number: int) -> str:
    """The file name of a document."""
    return f"{number:06d}.json"


def numbers(folder: str) -> list[int]:
    """The numbers that exist in `folder`, ascending."""
    stems = [file.removesuffix(".json") for file in files.names(folder) if file.endswith(".json")]
    return sorted(int(stem) for stem in stems if re.fullmatch("[0-9]{6,18}", stem))


def head(folder: str) -> tuple[int, dict[str, Any]] | None:
    """(number, document) of the newest, or None where there is none."""
    existing = numbers(folder)
    return (existing[-1], get(folder, existing[-1])) if existing else None


def get(folder: str, number: int) -> dict[str, Any]:
    """The document of `number`, verified. Raises FileNotFoundError and Damaged."""
    document: dict[str, Any] = documents.read(files.join(folder, name(number)))
    return document


def append(
    folder: str, build: Callable[[tuple[int, dict[str, Any]] | None], dict[str, Any] | None]
) -> tuple[int, dict[str, Any]]:
    """Publish `build(head)` under the number after the head; on a lost race, build again on the winner.

    `build` returns None where it has nothing to add to the head; then the head is returned.
    """
    while True:
        newest = head(folder)
        document = build(newest)
        if document is None:
            assert newest is not None, "nothing to publish and nothing published"
            return newest
        number = newest[0] + 1 if newest else 1
        if documents.create(files.join(folder, name(number)), document):
            return number, document
