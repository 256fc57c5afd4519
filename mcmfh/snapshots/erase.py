"""Erasure: afterwards no snapshot, rollback, embedding or working file of a store holds the items any more.

Snapshots keep their numbers and their other items, but not their digests: shards that held an item are written anew
without its row, and the documents that listed them are replaced. This is the one case in which a numbered document is
not final. The order of the steps makes a try that was interrupted harmless, and the next one finishes it:

1. new shards, tombstones and quarantine files are written;
2. a next snapshot without the items is published, which running endpoints take over;
3. the documents of the older snapshots are replaced;
4. markers of the old shards are deleted, and then all files that nothing names.

No job may work on the store meanwhile: it might publish an item again that it has read before.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mcmfh.embeddings.erase import erase_items
from mcmfh.errors import InputError
from mcmfh.snapshots import shards
from mcmfh.snapshots.document import SnapshotDocument, newest_snapshot, read_snapshot, snapshot_numbers
from mcmfh.snapshots.publish import store_quarantine
from mcmfh.snapshots.shards import Shard
from mcmfh.store import documents, files, layout, ledger, numbered
from mcmfh.store.leftovers import delete_leftovers
from mcmfh.store.relative import named


@dataclass(frozen=True)
class Rewritten:
    """A shard without the erased rows; None where none is left. kept: bool[rows] of the shard as it was."""

    shard: Shard | None
    kept: np.ndarray


@contextmanager
def _whole(root: str) -> Iterator[None]:
    """Raises InputError where a file of the archive at `root` is missing or damaged inside the block."""
    try:
        yield
    except InputError:
        raise
    except (FileNotFoundError, IsADirectoryError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"archive '{root}' is not whole ({error}), so nothing of it can be erased for certain; mend what mcmfh "
            "store verify finds, and erase again"
        ) from error


def items_of(root: str, names: Collection[str]) -> set[str]:
    """The item_ids, in any kept snapshot of the archive at `root`, of the items and studies `names`."""
    found: set[str] = set()
    wanted = pa.array(sorted(names), pa.string())
    with _whole(root):
        for shard in _listed(root):
            table = shards.read_items(root, shard)
            belongs = pc.or_(*(pc.is_in(table[column], value_set=wanted) for column in ("item_id", "study_id")))
            found |= set(table["item_id"].filter(belongs).to_pylist())
    return found


def erase(store: str, archive: str, items: Collection[str]) -> Iterator[str]:
    """Erase `items` (item_ids) of `archive`; yields a sentence for each file that was rewritten or deleted.

    Raises InputError where the store has no such archive.
    """
    root = layout.archive_root(store, archive)
    if archive not in files.names(layout.archives_folder(store)):
        raise InputError(f"store '{store}' has no archive '{archive}'; correct the name")
    with _whole(root):
        yield from _erase_held_out(store, items)
        yield from erase_items(store, items)
    if scratch := files.names(files.join(root, layout.SCRATCH)):
        files.delete_tree(files.join(root, layout.SCRATCH))
        yield f"archives/{archive}/scratch: working files of {len(scratch)} interrupted jobs deleted"
    with _whole(root):
        yield from (f"archives/{archive}/{line}" for line in _erase_from_snapshots(root, items))
    if left := delete_leftovers(store):
        yield f"{left} files deleted that killed processes had not finished"


def _erase_from_snapshots(root: str, items: Collection[str]) -> Iterator[str]:
    rewritten = {shard: done for shard in _listed(root) if (done := _without(root, shard, items))}
    for shard, done in rewritten.items():
        yield f"shards/{shard.items}: {np.count_nonzero(~done.kept)} rows erased"
    quarantine = _quarantine_without(root, items)

    def changed(document: SnapshotDocument) -> SnapshotDocument:
        return _changed(root, document, rewritten, quarantine)

    def next_one(head: tuple[int, dict[str, Any]] | None) -> dict[str, Any] | None:
        if head is None:
            return None
        document = SnapshotDocument.from_json(head[1])
        without = changed(document)
        return None if without == document else replace(without, parent=head[0]).to_json()

    before = newest_snapshot(root)
    if before is not None:
        number, _ = numbered.append(layout.snapshots_folder(root), next_one)
        if number != before[0]:
            yield f"snapshots/{numbered.name(number)}: published without the items"
    for number in snapshot_numbers(root):
        document = read_snapshot(root, number)
        if (without := changed(document)) != document:
            _replace_document(root, number, without)
            yield f"snapshots/{numbered.name(number)}: rewritten without the items"
    yield from _delete_unnamed(root, set(rewritten))


def _without(root: str, shard: Shard, items: Collection[str]) -> Rewritten | None:
    """The shard written anew without `items`; None where it holds none of them."""
    table = shards.read_items(root, shard)
    erased = pc.is_in(table["item_id"], value_set=pa.array(sorted(items), pa.string()))
    kept: np.ndarray = pc.invert(erased).to_numpy()
    if kept.all():
        return None
    if not kept.any():
        return Rewritten(None, kept)
    codes = shards.codes_of_rows(shards.read_codes(root, shard), kept)
    shown = shards.read_shown(root, shard, shards.SHOWN).filter(pa.array(kept))
    return Rewritten(shards.write_parts(root, codes, table.filter(pa.array(kept)), shown), kept)


def _changed(
    root: str, document: SnapshotDocument, rewritten: Mapping[Shard, Rewritten], quarantine: Mapping[str, str | None]
) -> SnapshotDocument:
    """The document with rewritten shards and quarantine files; their rows leave its tombstones, too."""
    names = [quarantine.get(name, name) for name in document.quarantine]
    if names != list(document.quarantine):
        left = tuple(name for name in names if name is not None)
        document = replace(document, quarantine=left, quarantined=_quarantine_rows(root, left))
    if not rewritten.keys() & {*document.shards}:
        return document
    removed = shards.read_tombstones(root, document.tombstones, document.rows)
    kept = np.concatenate([rewritten[s].kept if s in rewritten else np.ones(s.rows, bool) for s in document.shards])
    listed = (rewritten[shard].shard if shard in rewritten else shard for shard in document.shards)
    return replace(
        document,
        shards=tuple(shard for shard in listed if shard is not None),
        tombstones=shards.write_tombstones(root, shards.pack_bits(removed[kept])),
        rows=int(kept.sum()),
        items=int((kept & ~removed).sum()),
    )


def _quarantine_without(root: str, items: Collection[str]) -> dict[str, str | None]:
    """Name of a quarantine file that lists one of `items` → that of the file written without it; None where empty."""
    changed: dict[str, str | None] = {}
    for name in {name for number in snapshot_numbers(root) for name in read_snapshot(root, number).quarantine}:
        table = _quarantine(root, name)
        listed = pc.is_in(table["item_id"], value_set=pa.array(sorted(items), pa.string()))
        if pc.any(listed).as_py():
            left = table.filter(pc.invert(listed))
            changed[name] = store_quarantine(root, left) if left.num_rows else None
    return changed


def _quarantine(root: str, name: str) -> pa.Table:
    return pq.read_table(pa.BufferReader(files.read(layout.archive_file(root, layout.QUARANTINE, name, "parquet"))))


def _quarantine_rows(root: str, names: Collection[str]) -> int:
    return sum(_quarantine(root, name).num_rows for name in names)


def _replace_document(root: str, number: int, document: SnapshotDocument) -> None:
    """Replace the document of a snapshot. The store's list of digests may know the old one alone."""
    uri, data = files.join(layout.snapshots_folder(root), numbered.name(number)), documents.sealed(document.to_json())
    ledger.record(layout.store_of(root), {named(layout.store_of(root), uri): files.digest(data)})
    files.replace(uri, data)


def _delete_unnamed(root: str, old: Collection[Shard]) -> Iterator[str]:
    """Delete the markers of shards that were rewritten, and then every file that no snapshot and no marker names."""
    needed = {name for number in snapshot_numbers(root) for name in read_snapshot(root, number).files()}
    markers = files.join(root, layout.RUNS)
    for uri, _ in list(files.walk(markers)):
        shard = Shard(**documents.read(uri))
        if shard in old or not shard.files() <= needed:
            files.delete(uri)
            yield f"{uri[len(root) + 1 :]}: deleted"
        else:
            needed |= shard.files()
    for folder in (layout.SHARDS, layout.TOMBSTONES, layout.QUARANTINE):
        for name in files.names(files.join(root, folder)):
            if name not in needed:
                files.delete(files.join(root, folder, name))
                yield f"{folder}/{name}: deleted"


def _erase_held_out(store: str, items: Collection[str]) -> Iterator[str]:
    """Delete the manifests of test splits that list one of `items`; the comparison that needs one makes it again."""
    folder = files.parent(layout.held_out_manifest(store, "any"))
    for name in files.names(folder):
        with files.open_file(files.join(folder, name)) as file:
            listed = set(pq.read_table(file, columns=["item_id"])["item_id"].to_pylist())
        if listed & set(items):
            files.delete(files.join(folder, name))
            yield f"evaluations/held-out/{name}: deleted"


def _listed(root: str) -> list[Shard]:
    """The shards that any snapshot or marker of an archive lists, each once."""
    listed = {shard: None for number in snapshot_numbers(root) for shard in read_snapshot(root, number).shards}
    for uri, _ in files.walk(files.join(root, layout.RUNS)):
        listed[Shard(**documents.read(uri))] = None
    return list(listed)
