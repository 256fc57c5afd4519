"""New codes become a snapshot: shards first, then one create-only document that makes them visible at once.

A job that loses the race for a number reads the winner and builds on it: it adds its own shards to the winner's list,
turns rows that they supersede into tombstones, and tries the next number. So two jobs on one archive both end up in the
later snapshot.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from mcmfh.archive.quarantine import read_quarantine, write_quarantine
from mcmfh.errors import InputError
from mcmfh.snapshots import shards
from mcmfh.snapshots.compare import rows_shared
from mcmfh.snapshots.document import (
    Publication,
    SnapshotDocument,
    model_of,
    newest_snapshot,
    read_snapshot,
    snapshot_numbers,
)
from mcmfh.snapshots.shards import Shard
from mcmfh.store import files, layout, ledger, numbered


@dataclass(frozen=True)
class Quarantine:
    """Names of quarantine files below the archive, and their rows."""

    files: tuple[str, ...] = ()
    rows: int = 0


def base(root: str, code_digest: str, replace_model: bool) -> SnapshotDocument | None:
    """The newest snapshot, if this very model hashed it: its rows need not be hashed again. None: begin anew.

    Raises InputError when another model hashed it and `replace_model` does not allow that.
    """
    head = newest_snapshot(root)
    if head is None:
        return None
    number, document = head
    if document.code_digest == code_digest:
        return document
    if not replace_model:
        raise InputError(
            f"snapshot {number} of '{root}' was hashed by another model; "
            "set hash.replace_model=true to hash everything anew, or hash.bundle to that snapshot's model"
        )
    return None


def publish(
    publication: Publication, added: Sequence[Shard], removed: Mapping[str, np.ndarray], quarantine: Quarantine
) -> tuple[int, SnapshotDocument]:
    """Make `added` shards searchable and return (snapshot number, document); an unchanged archive keeps its number.

    removed: bitmaps of the previous snapshot's rows that left the manifest or are written anew in `added`, by the
    digest of their shard's items. Rows that a racing job has added in the meantime stay, unless `added` holds their
    items too. Raises RuntimeError when a shard is missing.
    """
    root, previous = publication.root, publication.previous
    compared = {shard.items for shard in previous.shards} if previous else set()

    def build(head: tuple[int, dict[str, Any]] | None) -> dict[str, Any] | None:
        newest = SnapshotDocument.from_json(head[1]) if head else None
        parent = newest if newest and newest.code_digest == publication.model.code_digest else None
        present = parent.shards if parent else ()
        fresh = tuple(shard for shard in added if shard not in present)
        rows = sum(shard.rows for shard in present)
        bitmap = shards.read_bitmap(root, parent.tombstones if parent else None, rows)
        start = 0
        for shard in present:
            if shard.items in removed:
                shards.set_bits(bitmap, start, shards.bits_of(removed[shard.items], 0, shard.rows))
            elif shard.items not in compared:
                for other in fresh:
                    shards.set_bits(bitmap, start, rows_shared(root, shard, other))
            start += shard.rows
        tombstones = shards.write_tombstones(root, bitmap)
        if parent and not fresh and (parent.tombstones, parent.quarantine) == (tombstones, quarantine.files):
            return None
        rows += sum(shard.rows for shard in fresh)
        document = SnapshotDocument(
            parent=head[0] if head else None,
            shards=(*present, *fresh),
            tombstones=tombstones,
            rows=rows,
            items=rows - shards.count_bits(bitmap),
            quarantine=quarantine.files,
            quarantined=quarantine.rows,
            filters=publication.filters,
            keep_reports=publication.keep_reports,
            **asdict(model_of(root, publication.model)),
        )
        _check_files(root, document)
        return document.to_json()

    number, document = numbered.append(layout.snapshots_folder(root), build)
    return number, SnapshotDocument.from_json(document)


def store_quarantine(root: str, table: pa.Table) -> str:
    """Store quarantine rows below the archive, named by what they say; returns the name."""
    name = files.digest([table.select(["item_id", "row", "reason"]).to_pylist()])
    uri = layout.archive_file(root, layout.QUARANTINE, name, "parquet")
    write_quarantine(table, uri)
    ledger.record_files(layout.store_of(root), {uri: files.read(uri)})  # its name covers the rows alone
    return name


def quarantined(root: str, document: SnapshotDocument) -> pa.Table:
    """The inputs that became no item of a snapshot, with their reasons."""
    return read_quarantine(
        layout.archive_file(root, layout.QUARANTINE, name, "parquet") for name in document.quarantine
    )


def rollback(root: str, number: int) -> int:
    """Publish the content of snapshot `number` anew, under the next number, and return that."""
    if number not in snapshot_numbers(root):
        raise InputError(f"snapshot {number} does not exist in '{root}'; list them with mcmfh snapshots list")
    old = read_snapshot(root, number)

    def build(head: tuple[int, dict[str, Any]] | None) -> dict[str, Any]:
        return replace(old, parent=head[0] if head else None).to_json()

    return numbered.append(layout.snapshots_folder(root), build)[0]


def live_items(root: str, document: SnapshotDocument) -> Iterator[pa.Table]:
    """A shard at a time, item_id and fingerprint of a snapshot's rows that are not removed."""
    bitmap, start = shards.read_bitmap(root, document.tombstones, document.rows), 0
    for shard in document.shards:
        live = ~shards.bits_of(bitmap, start, shard.rows)
        yield shards.read_items(root, shard).select(["item_id", "fingerprint"]).filter(pa.array(live))
        start += shard.rows


def _check_files(root: str, document: SnapshotDocument) -> None:
    """Raise RuntimeError where a file that a snapshot lists is missing: a gc may have run while the job slept."""
    folders = (layout.SHARDS, layout.TOMBSTONES, layout.QUARANTINE)
    stored = {name for folder in folders for name in files.names(files.join(root, folder))}
    if missing := sorted(document.files() - stored):
        raise RuntimeError(f"file '{missing[0]}' of '{root}' is gone; run the job again, it makes what is missing")
