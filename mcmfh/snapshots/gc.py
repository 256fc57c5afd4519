"""What no snapshot needs any more: found, shown, deleted in an order that a killed gc cannot harm.

Kept are the newest snapshots and all that they list. Of the rest markers go first and the shards they speak of after
them, so that a marker never promises what is gone; whatever is younger than the grace period stays, for a running job
may be about to publish it. Embeddings are never touched: they are what was expensive.
"""

import time
from dataclasses import dataclass

from mcmfh.snapshots.publish import files_of, snapshots_folder
from mcmfh.store import files, numbered


@dataclass(frozen=True)
class Garbage:
    """URIs in the order in which they are to go, and their bytes."""

    uris: list[str]
    bytes: int


def find_garbage(root: str, keep: int, grace_seconds: float) -> Garbage:
    """What is not needed by the newest `keep` snapshots and is older than the grace period."""
    folder = snapshots_folder(root)
    numbers = numbered.numbers(folder)
    needed = {name for number in numbers[-keep:] for name in files_of(numbered.get(folder, number))}
    old = {numbered.name(number) for number in numbers[:-keep]}
    stages: tuple[list[str], list[str], list[str]] = ([], [], [])  # documents, markers, what both speak of
    total = 0
    for uri, info in files.walk(root):
        room, _, name = uri[len(root) + 1 :].partition("/")
        if info["modified"] >= time.time() - grace_seconds:
            continue
        if room == "snapshots" and name in old:
            stage = 0
        elif room == "runs" and not files_of({"shards": [files.read_json(uri)]}) <= needed:
            stage = 1
        elif room == "scratch" or (room in ("shards", "tombstones", "quarantine") and name not in needed):
            stage = 2
        else:
            continue
        stages[stage].append(uri)
        total += info["size"]
    return Garbage([*stages[0], *stages[1], *stages[2]], total)


def collect(garbage: Garbage) -> None:
    """Delete, in that order; a killed gc is simply run again."""
    for uri in garbage.uris:
        files.delete(uri)
