"""Numbered, create-only documents: how a store without locks agrees on an order of events.

`000001.json`, `000002.json`, … in one folder. A document becomes visible by one create-only write; who loses the race
for a number reads the winner, builds anew on top of it and tries the next. Nothing is ever overwritten.
"""

from collections.abc import Callable
from typing import Any

from mcmfh.store import files


def name(number: int) -> str:
    return f"{number:06d}.json"


def numbers(folder: str) -> list[int]:
    """The numbers that exist in `folder`, ascending."""
    return sorted(int(found[:-5]) for found in files.names(folder) if found.endswith(".json") and found[:-5].isdigit())


def head(folder: str) -> tuple[int, dict[str, Any]] | None:
    """(number, document) of the newest, or None where there is none."""
    found = numbers(folder)
    return (found[-1], get(folder, found[-1])) if found else None


def get(folder: str, number: int) -> dict[str, Any]:
    """The document of `number`. Raises FileNotFoundError."""
    return files.read_json(files.join(folder, name(number)))


def append(
    folder: str, build: Callable[[tuple[int, dict[str, Any]] | None], dict[str, Any] | None]
) -> tuple[int, dict[str, Any]]:
    """Publish `build(head)` under the number after the head; on a lost race, build again on the winner.

    `build` may return None: there is nothing to add to that head, which is then the answer.
    """
    while True:
        newest = head(folder)
        document = build(newest)
        if document is None:
            assert newest is not None, "nothing to publish and nothing published"
            return newest
        number = newest[0] + 1 if newest else 1
        if files.create(files.join(folder, name(number)), files.canonical_json(document)):
            return number, document
