"""A published snapshot, opened for search: downloaded once a node, verified, indexed, memory-mapped.

    <cache>/shards/<sha256>.…       files as published, shared by all snapshots that list them; what may be shown of an
                                    item lies uncompressed, so that reading one row reads one row
    <cache>/<snapshot digest>/…     derived: live rows, item_id → row, one index a modality and K

One process fills a folder under a lock; every other replica of the node finds it complete and only maps it. See `cache`
for how long it stays.
"""

import hashlib
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mcmfh.archive.modality import MODALITIES
from mcmfh.errors import InputError
from mcmfh.hamming import HammingIndex
from mcmfh.search.cache import complete, completed, in_use, locked, sweep
from mcmfh.search.item_rows import Names, write_names
from mcmfh.search.mapped import MappedRows, mapped_tensors
from mcmfh.search.masks import Masks
from mcmfh.snapshots import shards
from mcmfh.snapshots.document import SnapshotDocument, newest_snapshot, read_snapshot
from mcmfh.snapshots.shards import Shard
from mcmfh.store import files, layout


@dataclass(frozen=True)
class Snapshot:
    """One immutable state of an archive, or some of its shards. A row is a position in them and means nothing outside.

    `first` is the whole snapshot's row of row 0.
    """

    root: str
    number: int
    digest: str
    document: SnapshotDocument
    first: int
    items: MappedRows  # item_id, fingerprint, study_id, filter columns
    presentable: MappedRows  # image_uri, labels, date, report
    live: np.ndarray  # bool [rows]
    codes: list[dict[str, np.ndarray]]  # each shard's tensors
    indexes: dict[str, HammingIndex]  # "image.16" → index whose ids are rows
    names: Names
    used: TextIO  # keeps the cache folder from being swept
    masks: Masks = field(default_factory=Masks)

    @property
    def bits(self) -> tuple[int, ...]:
        return self.document.bits

    def row(self, item_id: str) -> int | None:
        """The live row of `item_id`, or None."""
        return self.names.row(item_id)

    def code(self, row: int, column: str) -> bytes:
        """The stored code of a row, such as of "image.16"."""
        for tensors in self.codes:
            if row < len(tensors[column]):
                return tensors[column][row].tobytes()
            row -= len(tensors[column])
        raise IndexError("the row is outside the snapshot")

    def shown(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        """All columns of each row: item_id, fingerprint, study_id, filters, image_uri, labels, date, report."""
        return [{**self.items.row(row), **self.presentable.row(row)} for row in rows]


def latest(root: str) -> tuple[int, SnapshotDocument]:
    """(number, document) of the newest snapshot of the archive at `root`. Raises InputError where there is none."""
    head = newest_snapshot(root)
    if head is None:
        raise InputError(f"archive '{root}' has no snapshot; run jobs/hash_archive.py first")
    return head


def open_snapshot(
    root: str, number: int | None = None, cache: str | None = None, part: int = 0, parts: int = 1
) -> Snapshot:
    """Open snapshot `number` (default: the newest) of the archive at `root`, or the `part`-th of `parts` of it.

    Raises InputError where there is none.
    """
    root = files.absolute(root)
    if number is None:
        number, document = latest(root)
    else:
        try:
            document = read_snapshot(root, number)
        except FileNotFoundError as error:
            raise InputError(f"archive '{root}' has no snapshot {number}; see mcmfh snapshots list") from error
    chosen = parted([shard.rows for shard in document.shards], parts)[part]
    mine = [document.shards[i] for i in chosen]
    first = sum(shard.rows for shard in document.shards[: chosen.start])
    digest = document.digest
    home = Path(cache or os.environ.get("MCMFH_CACHE") or Path.home() / ".cache" / "mcmfh")
    folder = home / (digest if parts == 1 else f"{digest}.{part}-of-{parts}")
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        used = in_use(folder)
        if completed(folder) is None:
            names = _fill(root, document, mine, first, home / "shards", folder)
            complete(folder, root, number, names)
            sweep(home, root)
    items, presentable, codes = _mapped(mine, home / "shards")
    live = np.load(folder / "live.npy", mmap_mode="r", allow_pickle=False)
    return Snapshot(
        root=root,
        number=number,
        digest=digest,
        document=document,
        first=first,
        items=items,
        presentable=presentable,
        live=live,
        codes=codes,
        indexes={path.stem: HammingIndex.open(path) for path in sorted(folder.glob("*.index"))},
        names=Names(folder / "names.npy", items, int(live.sum())),
        used=used,
    )


def parted(rows: Sequence[int], parts: int) -> list[range]:
    """The shards of each of `parts` parts, in order: as even in rows as whole shards allow."""
    total, done = max(sum(rows), 1), 0
    ends = [0] * parts
    for shard, count in enumerate(rows):
        for part in range(min((2 * done + count) * parts // (2 * total), parts - 1), parts):
            ends[part] = shard + 1
        done += count
    return [range(begin, end) for begin, end in zip([0, *ends], ends)]


def _mapped(mine: list[Shard], shards_folder: Path) -> tuple[MappedRows, MappedRows, list[dict[str, np.ndarray]]]:
    return (
        MappedRows([shards_folder / f"{shard.items}.arrow" for shard in mine]),
        MappedRows([shards_folder / f"{shard.shown}.shown.arrow" for shard in mine]),
        [mapped_tensors(shards_folder / f"{shard.codes}.safetensors") for shard in mine],
    )


def _fill(
    root: str, document: SnapshotDocument, mine: list[Shard], first: int, shards_folder: Path, folder: Path
) -> list[str]:
    """Download and verify what the node lacks, one shard at a time, and derive what searching needs.

    Returns the names of the shards' files.
    """
    shards_folder.mkdir(exist_ok=True)
    listed: list[str] = []
    for shard in mine:
        names = f"{shard.codes}.safetensors", f"{shard.items}.arrow", f"{shard.shown}.shown.arrow"
        listed += names
        _fetch(root, shard.codes, "safetensors", shards_folder / names[0])
        _fetch(root, shard.items, "arrow", shards_folder / names[1])
        if (shown := shards_folder / names[2]).exists():
            shown.touch()
        else:
            packed = shards_folder / f"{shard.shown}.{uuid.uuid4().hex}"
            try:
                _fetch(root, shard.shown, "parquet", packed)
                _unpack(packed, shown)
            finally:
                packed.unlink(missing_ok=True)
    items, _, codes = _mapped(mine, shards_folder)
    removed = shards.read_tombstones(root, document.tombstones, document.rows)
    live = ~removed[first : first + len(items)]
    np.save(folder / "live.npy", live)
    write_names(folder / "names.npy", items, live)
    for modality in MODALITIES:
        there = present(mine, codes, modality) & live
        ids = None if there.all() else np.flatnonzero(there)
        for bits in document.bits:
            name = shards.code_column(modality, bits)
            column = np.concatenate([np.zeros((0, bits // 8), np.uint8), *(part[name] for part in codes)])
            HammingIndex(column if ids is None else column[ids], ids, bits=bits).save(folder / f"{name}.index")
    return listed


def present(mine: list[Shard], codes: list[dict[str, np.ndarray]], modality: str) -> np.ndarray:
    """bool [rows]: the rows that have a code of `modality`, removed ones included."""
    parts = [shards.presence(tensors, modality, shard.rows) for tensors, shard in zip(codes, mine)]
    return np.concatenate([np.zeros(0, bool), *parts])


def _fetch(root: str, name: str, suffix: str, target: Path) -> None:
    """Bring a content-addressed file here. Raises ValueError when it is not what its name says."""
    if target.exists():
        target.touch()
        return
    uri = layout.archive_file(root, layout.SHARDS, name, suffix)
    arriving = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        files.download(uri, arriving)
        with arriving.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != name:
            raise ValueError(f"'{uri}' does not have the content that its name promises; restore it from a copy")
        arriving.replace(target)
    finally:
        arriving.unlink(missing_ok=True)


def _unpack(packed: Path, target: Path) -> None:
    """Parquet → uncompressed Arrow IPC, a stretch at a time."""
    arriving = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    with pq.ParquetFile(packed) as source, pa.ipc.new_file(str(arriving), source.schema_arrow) as writer:
        for batch in source.iter_batches(1 << 16):
            writer.write_batch(batch)
    arriving.replace(target)
