"""A published snapshot, opened for search: downloaded once a node, verified, indexed, memory-mapped.

    <cache>/shards/<sha256>.…       files as published, shared by all snapshots that list them; the columns shown of an
                                    item are decompressed, so that reading one row reads one row
    <cache>/<snapshot digest>/…     derived: live rows, item_id → row, one index for each modality and K

One process fills a folder under a lock; the other replicas of the node map the complete folder. `cache` says how long
a folder is kept.
"""

import hashlib
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mcmfh.archive.modality import MODALITIES
from mcmfh.errors import InputError
from mcmfh.hamming import HammingIndex
from mcmfh.search.cache import complete, completed, in_use, locked, sweep
from mcmfh.search.item_rows import ItemRows, write_item_rows
from mcmfh.search.mapped import MappedRows, mapped_tensors
from mcmfh.search.masks import RowFilter
from mcmfh.snapshots import shards
from mcmfh.snapshots.document import SnapshotDocument, newest_snapshot, read_snapshot, snapshot_numbers
from mcmfh.snapshots.shards import Shard
from mcmfh.store import files, layout


@dataclass(frozen=True)
class Snapshot:
    """One immutable state of an archive, or the part of it that some of its shards hold.

    A row is a position in these shards and means nothing outside. Row 0 is row `first` of the whole snapshot.
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
    item_rows: ItemRows
    row_filter: RowFilter
    used: TextIO  # while it is open, the cache folder is not removed

    @property
    def bits(self) -> tuple[int, ...]:
        return self.document.bits

    def row(self, item_id: str) -> int | None:
        """The live row of `item_id`, or None."""
        return self.item_rows.row(item_id)

    def code(self, row: int, column: str) -> bytes:
        """The stored code of a row in a code column, such as "image.16"."""
        for tensors in self.codes:
            if row < len(tensors[column]):
                return bytes(tensors[column][row])
            row -= len(tensors[column])
        raise IndexError("the row is outside the snapshot")

    def shown(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        """All columns of each row: item_id, fingerprint, study_id, filters, image_uri, labels, date, report."""
        return [{**self.items.row(row), **self.presentable.row(row)} for row in rows]


def latest(root: str) -> tuple[int, SnapshotDocument]:
    """(number, document) of the newest snapshot of the archive at `root`. Raises InputError where there is none."""
    try:
        head = newest_snapshot(root)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"the newest snapshot of archive '{root}' is damaged; restore it, or publish again with `mcmfh snapshots "
            "rollback`"
        ) from error
    if head is None:
        raise InputError(f"archive '{root}' has no snapshot; run jobs/hash_archive.py first")
    return head


def newest_readable(root: str) -> tuple[int, SnapshotDocument]:
    """(number, document) of the newest snapshot whose document can be read.

    Raises InputError where there is none, and for the newest document if no other can be read.
    """
    for number in reversed(snapshot_numbers(root)):
        try:
            return number, read_snapshot(root, number)
        except Exception as error:  # the files of a snapshot may be missing or damaged in any way
            if files.is_outage(error):
                raise
    return latest(root)


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
    chosen = split_shards([shard.rows for shard in document.shards], parts)[part]
    mine = [document.shards[i] for i in chosen]
    first = sum(shard.rows for shard in document.shards[: chosen.start])
    digest = document.digest
    home = Path(cache or os.environ.get("MCMFH_CACHE") or Path.home() / ".cache" / "mcmfh")
    folder = home / (digest if parts == 1 else f"{digest}.{part}-of-{parts}")
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        used = in_use(folder)
        if completed(folder) is None:
            file_names = _fill(root, document, mine, first, home / "shards", folder)
            complete(folder, root, number, file_names)
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
        item_rows=ItemRows(folder / "names.npy", items, int(live.sum())),
        row_filter=RowFilter(document.filters, items, live),
        used=used,
    )


def split_shards(rows: Sequence[int], parts: int) -> list[range]:
    """The shards of each of `parts` parts, in order: as even in rows as whole shards allow.

    rows: the number of rows of each shard.
    """
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
    """The file names of the shards `mine`, after downloading those the node lacks and deriving what searching needs.

    Files are verified while they are downloaded, one shard at a time.
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
            compressed = shards_folder / f"{shard.shown}.{uuid.uuid4().hex}"
            try:
                _fetch(root, shard.shown, "parquet", compressed)
                _decompress(compressed, shown)
            finally:
                compressed.unlink(missing_ok=True)
    items, _, codes = _mapped(mine, shards_folder)
    removed = shards.read_tombstones(root, document.tombstones, document.rows)
    live = ~removed[first : first + len(items)]
    np.save(folder / "live.npy", live)
    write_item_rows(folder / "names.npy", items, live)
    for modality in MODALITIES:
        indexed = _has_code(mine, codes, modality) & live
        ids = None if indexed.all() else np.flatnonzero(indexed)
        for bits in document.bits:
            name = shards.code_column(modality, bits)
            column = np.concatenate([np.zeros((0, bits // 8), np.uint8), *(part[name] for part in codes)])
            HammingIndex(column if ids is None else column[ids], ids, bits=bits).save(folder / f"{name}.index")
    return listed


def _has_code(mine: list[Shard], codes: list[dict[str, np.ndarray]], modality: str) -> np.ndarray:
    """bool [rows]: whether each row has a code of `modality`; tombstoned rows count too."""
    parts = [shards.presence(part, modality, shard.rows) for part, shard in zip(codes, mine)]
    return np.concatenate([np.zeros(0, bool), *parts])


def _fetch(root: str, name: str, suffix: str, target: Path) -> None:
    """Download a content-addressed file. Raises ValueError where its content does not have the digest in its name."""
    if target.exists():
        target.touch()
        return
    uri = layout.archive_file(root, layout.SHARDS, name, suffix)
    arriving = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        files.download(uri, arriving)
        with arriving.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != name:
            raise ValueError(f"'{uri}' does not have the content that its name promises; restore it from a copy")
        arriving.replace(target)
    finally:
        arriving.unlink(missing_ok=True)


def _decompress(parquet: Path, target: Path) -> None:
    """Write a Parquet file as uncompressed Arrow IPC, batch by batch."""
    arriving = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    with pq.ParquetFile(parquet) as source, pa.ipc.new_file(str(arriving), source.schema_arrow) as writer:
        for batch in source.iter_batches(1 << 16):
            writer.write_batch(batch)
    arriving.replace(target)
