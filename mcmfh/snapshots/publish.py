"""New codes become a snapshot: shards first, then one create-only document that makes them visible at once.

On a lost race the winner is read and built upon: own shards are added to its list, rows that they supersede become
tombstones, and the next number is tried. So two jobs on one archive both end up in the later snapshot.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from mcmfh import storage
from mcmfh.archive.quarantine import write_quarantine
from mcmfh.errors import InputError
from mcmfh.snapshots import numbered, shards
from mcmfh.snapshots.shards import Shard

FORMAT = 1


@dataclass(frozen=True)
class Model:
    """What hashed the codes, as every snapshot states it."""

    bundle: str  # URI
    bundle_digest: str
    code_digest: str
    encoder_digest: str
    bits: tuple[int, ...]


def snapshots_folder(root: str) -> str:
    return storage.join(root, "snapshots")


def check_model(root: str, code_digest: str, replace_model: bool) -> dict[str, str]:
    """item_id → fingerprint of what the head snapshot holds by this very model: what need not be hashed again.

    Raises InputError when the head is another model's and `replace_model` does not allow that.
    """
    head = numbered.head(snapshots_folder(root))
    if head is None:
        return {}
    number, document = head
    if document["code_digest"] != code_digest:
        if not replace_model:
            raise InputError(
                f"snapshot {number} of '{root}' was hashed by another model; "
                "set hash.replace_model=true to hash everything anew, or hash.bundle to that snapshot's model"
            )
        return {}
    items = live_items(root, document)
    return dict(zip(items["item_id"].to_pylist(), items["fingerprint"].to_pylist()))


def publish(
    root: str,
    model: Model,
    new: pa.Table | None,
    listed: Sequence[str],
    known: Sequence[str],
    quarantine: pa.Table,
    filters: Sequence[str],
) -> tuple[int, dict[str, Any]]:
    """Make `new` rows searchable and return (snapshot number, document); an unchanged archive keeps its number.

    new: shard columns (see `shards`) in item order; listed: item_ids the manifest holds now; known: item_ids the
    head held when the run began, so that what left the manifest since is removed and a racing job's items are not;
    quarantine: inputs that became no item.
    """
    starts = range(0, new.num_rows, shards.SHARD_ROWS) if new is not None else ()
    parts = [new.slice(start, shards.SHARD_ROWS) for start in starts] if new is not None else []
    added = [(shards.write_shard(root, part, filters), part["item_id"].to_pylist()) for part in parts]
    quarantined = storage.digest([quarantine.select(["item_id", "row", "reason"]).to_pylist()])
    write_quarantine(quarantine, storage.join(root, "quarantine", f"{quarantined}.parquet"))
    gone = set(known) - set(listed)

    def build(head: tuple[int, dict[str, Any]] | None) -> dict[str, Any] | None:
        same_model = head is not None and head[1]["code_digest"] == model.code_digest
        parent = head[1] if head is not None and same_model else None
        before = [Shard(**shard) for shard in parent["shards"]] if parent else []
        fresh = [(shard, ids) for shard, ids in added if shard not in before]
        removed = _superseded_rows(root, parent, gone.union(*(ids for _, ids in fresh)))
        tombstones = shards.write_tombstones(root, removed)
        if parent and not fresh and (parent["tombstones"], parent["quarantine"]) == (tombstones, quarantined):
            return None
        rows = len(removed) + sum(shard.rows for shard, _ in fresh)
        return {
            "format": FORMAT,
            "parent": head[0] if head else None,
            "shards": [shard.document() for shard in [*before, *(shard for shard, _ in fresh)]],
            "tombstones": tombstones,
            "rows": rows,
            "items": rows - int(removed.sum()),
            "quarantine": quarantined,
            "quarantined": quarantine.num_rows,
            "filters": list(filters),
            "bundle": model.bundle,
            "bundle_digest": model.bundle_digest,
            "code_digest": model.code_digest,
            "encoder_digest": model.encoder_digest,
            "bits": list(model.bits),
        }

    return numbered.append(snapshots_folder(root), build)


def rollback(root: str, number: int) -> int:
    """Publish the content of snapshot `number` anew, under the next number, and return that."""
    folder = snapshots_folder(root)
    if number not in numbered.numbers(folder):
        raise InputError(f"snapshot {number} does not exist in '{root}'; list them with mcmfh snapshots list")
    old = numbered.get(folder, number)
    return numbered.append(folder, lambda head: {**old, "parent": head[0] if head else None})[0]


def live_items(root: str, document: dict[str, Any]) -> pa.Table:
    """item_id and fingerprint of a snapshot's rows that are not removed."""
    rows = _rows(root, document)
    removed = shards.read_tombstones(root, document["tombstones"], document["rows"])
    return rows.filter(pa.array(~removed))


def _rows(root: str, document: dict[str, Any]) -> pa.Table:
    tables = [
        shards.read_items(shards.read_verified(root, "shards", shard["items"], "arrow")).select(
            ["item_id", "fingerprint"]
        )
        for shard in document["shards"]
    ]
    empty = pa.schema([("item_id", pa.string()), ("fingerprint", pa.string())]).empty_table()
    return pa.concat_tables([empty, *tables])


def _superseded_rows(root: str, parent: dict[str, Any] | None, ids: set[str]) -> np.ndarray:
    """bool[rows of parent]: removed already, or holding one of `ids`."""
    if parent is None:
        return np.zeros(0, bool)
    removed = shards.read_tombstones(root, parent["tombstones"], parent["rows"])
    return removed | np.array([item in ids for item in _rows(root, parent)["item_id"].to_pylist()], bool)
