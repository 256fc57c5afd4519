"""Rewrites what an old store names absolutely: a next snapshot of each archive names all below the store relatively.

Codes, items and tombstones stay; only the files of what may be shown are written anew, with other addresses. Older
snapshots are not changed: they open by the store's own bundles, but show pictures only where these still are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mcmfh.errors import InputError
from mcmfh.snapshots.document import SnapshotDocument, bundle_address, newest_snapshot
from mcmfh.snapshots.shards import SHOWN, Shard, read_shown_as_stored, write_shown
from mcmfh.store import files, layout, numbered
from mcmfh.store.relative import address_column, named, named_column

Moves = Sequence[tuple[str, str]]  # (the address that something had, the one it has now)


@dataclass(frozen=True)
class Relocated:
    """One archive: its newest snapshot, whether that was published now, and the addresses that were rewritten."""

    archive: str
    snapshot: int
    published: bool
    addresses: int


def relocate_store(store: str, moves: Moves = ()) -> list[Relocated]:
    """Publish, where an address changes, a next snapshot of each archive of `store`.

    moves: what else was moved, such as ("s3://old/images", "s3://new/images"). Where the store itself was comes from
    the bundle's address in its snapshots. Raises InputError where the store holds no archive.
    """
    names = files.names(layout.archives_folder(store))
    if not names:
        raise InputError(f"store '{store}' holds no archive; correct the address")
    return [_relocate(layout.archive_root(store, name), name, moves) for name in names]


def _relocate(root: str, name: str, moves: Moves) -> Relocated:
    head = newest_snapshot(root)
    if head is None:
        return Relocated(name, 0, False, 0)
    rewritten: dict[Shard, tuple[Shard, int]] = {}

    def build(head: tuple[int, dict[str, Any]] | None) -> dict[str, Any] | None:
        assert head is not None, "snapshots are never all deleted"
        document = SnapshotDocument.from_json(head[1])
        all_moves = [*_moves_of_store(root, document), *moves]
        for shard in document.shards:
            if shard not in rewritten:
                rewritten[shard] = _rewrite(root, shard, all_moves)
        shards = tuple(rewritten[shard][0] for shard in document.shards)
        bundle = named(layout.store_of(root), bundle_address(root, document))
        changed = replace(document, shards=shards, bundle=bundle)
        return None if changed == document else replace(changed, parent=head[0]).to_json()

    number, _ = numbered.append(layout.snapshots_folder(root), build)
    addresses = sum(count for _, count in rewritten.values())
    return Relocated(name, number, number != head[0], addresses)


def _moves_of_store(root: str, document: SnapshotDocument) -> Moves:
    """(where the store was, where it is), from a bundle of its own that a snapshot names absolutely."""
    before, mark, _ = document.bundle.rpartition("/bundles/")
    store = layout.store_of(root)
    own = bundle_address(root, document).startswith(f"{store}/")
    return [(before, store)] if mark and "://" in before and own and before != store else []


def _rewrite(root: str, shard: Shard, moves: Moves) -> tuple[Shard, int]:
    """(the shard with its addresses as they are now, how many changed)."""
    shown = read_shown_as_stored(root, shard, SHOWN)
    before = shown["image_uri"]
    uris = address_column(layout.store_of(root), before)
    for old, new in moves:
        old, new = files.absolute(old), files.absolute(new)
        moved = pc.starts_with(uris, f"{old}/")
        rest = pc.utf8_slice_codeunits(uris, len(old))
        uris = pc.if_else(moved, pc.binary_join_element_wise(pa.scalar(new), rest, ""), uris)
    changed = pc.sum(pc.not_equal(before, named_column(layout.store_of(root), uris))).as_py() or 0
    if not changed:
        return shard, 0
    shown = shown.set_column(shown.column_names.index("image_uri"), "image_uri", uris)
    return replace(shard, shown=write_shown(root, shown)), changed
