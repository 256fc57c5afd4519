"""What no kept snapshot needs: listed, reported, and deleted in an order that makes an interrupted gc harmless.

The newest snapshots and all files that they list are kept. Of the rest, markers go before the shards that they name, so
that a marker never promises a shard that is gone. Files younger than the grace period stay, because a running job may
be about to publish them. Embeddings are never deleted: they are what was expensive.
"""

import time
from dataclasses import dataclass

from mcmfh.snapshots.document import read_snapshot, snapshot_numbers
from mcmfh.snapshots.shards import Shard
from mcmfh.store import documents, files, numbered
from mcmfh.store.layout import QUARANTINE, RUNS, SCRATCH, SHARDS, SNAPSHOTS, TOMBSTONES


@dataclass(frozen=True)
class Garbage:
    """URIs in the order of their deletion, and their bytes."""

    uris: list[str]
    bytes: int


def find_garbage(root: str, keep: int, grace_seconds: float) -> Garbage:
    """What the newest `keep` snapshots do not need and is older than the grace period."""
    numbers = snapshot_numbers(root)
    needed = {name for number in numbers[-keep:] for name in read_snapshot(root, number).files()}
    old = {numbered.name(number) for number in numbers[:-keep]}
    superseded: list[str] = []
    markers: list[str] = []
    contents: list[str] = []  # what documents and markers name
    total = 0
    for uri, info in files.walk(root):
        folder, _, name = uri[len(root) + 1 :].partition("/")
        if info["modified"] >= time.time() - grace_seconds:
            continue
        if folder == SNAPSHOTS and name in old:
            superseded.append(uri)
        elif folder == RUNS and not Shard(**documents.read(uri)).files() <= needed:
            markers.append(uri)
        elif folder == SCRATCH or (folder in (SHARDS, TOMBSTONES, QUARANTINE) and name not in needed):
            contents.append(uri)
        else:
            continue
        total += info["size"]
    return Garbage([*superseded, *markers, *contents], total)


def collect(garbage: Garbage) -> None:
    """Delete in that order. A gc that was interrupted is simply run again."""
    for uri in garbage.uris:
        files.delete(uri)
