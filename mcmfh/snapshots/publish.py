"""New codes become a snapshot: shards first, then one create-only document that makes them visible at once.

On a lost race the winner is read and built upon: own shards are added to its list, rows that they supersede become
tombstones, and the next number is tried. So two jobs on one archive both end up in the later snapshot.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from mcmfh.archive.quarantine import read_quarantine, write_quarantine
from mcmfh.errors import InputError
from mcmfh.snapshots import shards
from mcmfh.snapshots.compare import rows_shared
from mcmfh.snapshots.shards import Shard
from mcmfh.store import files, numbered

FORMAT = 1


@dataclass(frozen=True)
class Model:
    """What hashed the codes, as every snapshot states it."""

    bundle: str  # URI
    bundle_digest: str
    code_digest: str
    encoder_digest: str
    bits: tuple[int, ...]


@dataclass(frozen=True)
class Quarantine:
    """Names of quarantine files below the archive, and their rows."""

    files: tuple[str, ...] = ()
    rows: int = 0


def snapshots_folder(root: str) -> str:
    return files.join(root, "snapshots")


def base(root: str, code_digest: str, replace_model: bool) -> dict[str, Any] | None:
    """The head snapshot's document, if it is this very model's: what need not be hashed again; None to begin anew.

    Raises InputError when the head is another model's and `replace_model` does not allow that.
    """
    head = numbered.head(snapshots_folder(root))
    if head is None:
        return None
    number, document = head
    if document["code_digest"] == code_digest:
        return document
    if not replace_model:
        raise InputError(
            f"snapshot {number} of '{root}' was hashed by another model; "
            "set hash.replace_model=true to hash everything anew, or hash.bundle to that snapshot's model"
        )
    return None


def publish(
    root: str,
    model: Model,
    added: Sequence[Shard],
    before: Mapping[str, Any] | None,
    removed: Mapping[str, np.ndarray],
    quarantine: Quarantine,
    filters: Sequence[str],
    keep_reports: bool,
) -> tuple[int, dict[str, Any]]:
    """Make `added` shards searchable and return (snapshot number, document); an unchanged archive keeps its number.

    before: the document that the run built on (see `base`); removed: bitmaps of its rows that left the manifest or
    stand in `added` anew, by digest of the shard's items. Rows that a racing job added since stay, unless `added` holds
    their items too. Raises RuntimeError when a shard is missing.
    """
    own = {shard["items"] for shard in before["shards"]} if before else set()

    def build(head: tuple[int, dict[str, Any]] | None) -> dict[str, Any] | None:
        same_model = head is not None and head[1]["code_digest"] == model.code_digest
        parent = head[1] if head is not None and same_model else None
        present = [Shard(**shard) for shard in parent["shards"]] if parent else []
        fresh = [shard for shard in added if shard not in present]
        rows = sum(shard.rows for shard in present)
        bitmap = shards.read_bitmap(root, parent["tombstones"] if parent else None, rows)
        start = 0
        for shard in present:
            if shard.items in removed:
                shards.set_bits(bitmap, start, shards.bits_of(removed[shard.items], 0, shard.rows))
            elif shard.items not in own:
                for other in fresh:
                    shards.set_bits(bitmap, start, rows_shared(root, shard, other))
            start += shard.rows
        tombstones = shards.write_tombstones(root, bitmap)
        if (
            parent
            and not fresh
            and (parent["tombstones"], parent["quarantine"]) == (tombstones, list(quarantine.files))
        ):
            return None
        rows += sum(shard.rows for shard in fresh)
        document = {
            "format": FORMAT,
            "parent": head[0] if head else None,
            "shards": [shard.document() for shard in (*present, *fresh)],
            "tombstones": tombstones,
            "rows": rows,
            "items": rows - int(np.bitwise_count(bitmap).sum()),
            "quarantine": list(quarantine.files),
            "quarantined": quarantine.rows,
            "filters": list(filters),
            "keep_reports": keep_reports,
            "bundle": model.bundle,
            "bundle_digest": model.bundle_digest,
            "code_digest": model.code_digest,
            "encoder_digest": model.encoder_digest,
            "bits": list(model.bits),
        }
        _check_shards(root, document)
        return document

    return numbered.append(snapshots_folder(root), build)


def store_quarantine(root: str, table: pa.Table) -> str:
    """Store quarantine rows below the archive, named by what they say; returns the name."""
    name = files.digest([table.select(["item_id", "row", "reason"]).to_pylist()])
    write_quarantine(table, files.join(root, "quarantine", f"{name}.parquet"))
    return name


def quarantined(root: str, document: Mapping[str, Any]) -> pa.Table:
    """The inputs that became no item of a snapshot, with their reasons."""
    return read_quarantine(files.join(root, "quarantine", f"{name}.parquet") for name in document["quarantine"])


def rollback(root: str, number: int) -> int:
    """Publish the content of snapshot `number` anew, under the next number, and return that."""
    folder = snapshots_folder(root)
    if number not in numbered.numbers(folder):
        raise InputError(f"snapshot {number} does not exist in '{root}'; list them with mcmfh snapshots list")
    old = numbered.get(folder, number)
    return numbered.append(folder, lambda head: {**old, "parent": head[0] if head else None})[0]


def live_items(root: str, document: Mapping[str, Any]) -> Iterator[pa.Table]:
    """A shard at a time, item_id and fingerprint of a snapshot's rows that are not removed."""
    bitmap, start = shards.read_bitmap(root, document["tombstones"], document["rows"]), 0
    for shard in document["shards"]:
        items = shards.read_items(shards.read_verified(root, "shards", shard["items"], "arrow"))
        live = ~shards.bits_of(bitmap, start, shard["rows"])
        yield items.select(["item_id", "fingerprint"]).filter(pa.array(live))
        start += shard["rows"]


def files_of(document: Mapping[str, Any]) -> set[str]:
    """Names of the files, in whatever folder, that a snapshot's document speaks of."""
    names = {f"{name}.parquet" for name in document.get("quarantine", ())}
    if document.get("tombstones"):
        names.add(document["tombstones"])
    return names.union(*(shards.shard_files(shard) for shard in document["shards"]))


def _check_shards(root: str, document: Mapping[str, Any]) -> None:
    """What a snapshot lists must be there: the job may have slept through a gc."""
    there = {name for folder in ("shards", "tombstones", "quarantine") for name in files.names(f"{root}/{folder}")}
    if gone := sorted(files_of(document) - there):
        raise RuntimeError(f"file '{gone[0]}' of '{root}' is gone; run the job again, it makes what is missing")
