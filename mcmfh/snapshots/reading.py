"""A published snapshot, opened for search: downloaded once a node, verified, indexed, memory-mapped.

The cache folder of a snapshot is named by the digest of its document. One process fills it under a lock; every other
replica of the node finds it complete and only maps it.
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mcmfh import storage
from mcmfh.errors import InputError
from mcmfh.hamming import HammingIndex
from mcmfh.snapshots import numbered, shards
from mcmfh.snapshots.publish import snapshots_folder


@dataclass(frozen=True)
class Snapshot:
    """One immutable state of an archive. A row is a position in its shard list and means nothing outside it."""

    root: str
    number: int
    digest: str
    document: dict[str, Any]
    items: pa.Table  # item_id, fingerprint, study_id, filter columns; memory-mapped
    live: np.ndarray  # bool[rows]
    indexes: dict[str, HammingIndex]  # "image.16" → index whose ids are rows
    cache: Path

    @property
    def bits(self) -> tuple[int, ...]:
        return tuple(self.document["bits"])

    def row(self, item_id: str) -> int | None:
        """The live row of `item_id`, or None. Linear in the archive."""
        rows = np.flatnonzero(pc.equal(self.items["item_id"], item_id).to_numpy())
        rows = rows[self.live[rows]]
        return int(rows[0]) if len(rows) else None

    def shown(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        """What may be shown of each row: item_id, study_id, filter columns, image_uri, labels, date, report."""
        found = self.items.drop_columns(["fingerprint"]).take(pa.array(rows, pa.int64())).to_pylist()
        for row, item in zip(rows, found):
            item.update(self._shown(int(row)))
        return found

    def _shown(self, row: int) -> dict[str, Any]:
        for shard in self.document["shards"]:
            if row < shard["rows"]:
                file = pq.ParquetFile(self.cache / f"{shard['shown']}.parquet", memory_map=True)
                group, within = divmod(row, file.metadata.row_group(0).num_rows)
                return file.read_row_group(group).slice(within, 1).to_pylist()[0]
            row -= shard["rows"]
        raise IndexError(f"row {row} is outside the snapshot")


def latest(root: str) -> tuple[int, dict[str, Any]]:
    """(number, document) of the newest snapshot of the archive at `root`. Raises InputError where there is none."""
    head = numbered.head(snapshots_folder(root))
    if head is None:
        raise InputError(f"archive '{root}' has no snapshot; run jobs/hash_archive.py first")
    return head


def open_snapshot(root: str, number: int | None = None, cache: str | None = None) -> Snapshot:
    """Open snapshot `number` (default: the newest) of the archive at `root`. Raises InputError where there is none."""
    root = storage.absolute(root)
    if number is None:
        number, document = latest(root)
    else:
        try:
            document = numbered.get(snapshots_folder(root), number)
        except FileNotFoundError as error:
            raise InputError(f"archive '{root}' has no snapshot {number}; see mcmfh snapshots list") from error
    digest = storage.digest(document)
    folder = Path(cache or os.environ.get("MCMFH_CACHE") or Path.home() / ".cache" / "mcmfh") / digest
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        if not (folder / "complete").exists():
            _fill(root, document, folder)
            (folder / "complete").touch()
    tables = [
        shards.read_items(pa.memory_map(str(folder / f"{shard['items']}.arrow")).read_buffer())
        for shard in document["shards"]
    ]
    removed = np.load(folder / "removed.npy", mmap_mode="r", allow_pickle=False)
    return Snapshot(
        root=root,
        number=number,
        digest=digest,
        document=document,
        items=pa.concat_tables(tables, promote_options="permissive") if tables else _no_items(document),
        live=~removed,
        indexes={path.stem: HammingIndex.open(path) for path in sorted(folder.glob("*.index"))},
        cache=folder,
    )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fill(root: str, document: dict[str, Any], folder: Path) -> None:
    """Download and verify every file, then build one index a modality and K over the rows that have a code."""
    rows = document["rows"]
    removed = shards.read_tombstones(root, document["tombstones"], rows)
    np.save(folder / "removed.npy", removed)
    tensors: list[dict[str, np.ndarray]] = []
    for shard in document["shards"]:
        tensors.append(shards.read_codes(shards.read_verified(root, "shards", shard["codes"], "safetensors")))
        for key, suffix in (("items", "arrow"), ("shown", "parquet")):
            data = shards.read_verified(root, "shards", shard[key], suffix)
            (folder / f"{shard[key]}.{suffix}").write_bytes(data)
    for modality in ("image", "report"):
        present = [
            np.unpackbits(part[f"{modality}.present"], count=shard["rows"], bitorder="little").astype(bool)
            for part, shard in zip(tensors, document["shards"])
        ]
        there = np.concatenate([np.zeros(0, bool), *present]) & ~removed
        for bits in document["bits"]:
            name = shards.code_column(modality, bits)
            codes = np.concatenate([np.zeros((0, bits // 8), np.uint8), *(part[name] for part in tensors)])[there]
            ids = None if there.all() else np.flatnonzero(there)
            HammingIndex(codes, ids, bits=bits).save(folder / f"{name}.index")


def _no_items(document: dict[str, Any]) -> pa.Table:
    names = ["item_id", "fingerprint", "study_id", *document["filters"]]
    return pa.table({name: pa.array([], pa.string()) for name in names})
