"""A published snapshot, opened for search: downloaded once a node, verified, indexed, memory-mapped.

    <cache>/shards/<sha256>.…       files as published, shared by all snapshots that list them; the columns shown of an
                                    item are decompressed, so that reading one row reads one row
    <cache>/<snapshot digest>/…     derived: live rows, item_id → row, one index for each modality and K

One process fills a folder under a lock; the other replicas of the node map the complete folder. Each process verifies
every file before it maps it, and a file that was changed is fetched or derived again. `cache` says how long a folder is
kept.
"""

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from mcmfh.errors import InputError
from mcmfh.hamming import HammingIndex
from mcmfh.hashing.bundle import device_of_codes
from mcmfh.search.cache import complete, in_use, inode_of, inodes_of, locked, make_folder, sound, sweep, verified
from mcmfh.search.filling import fill, mapped_shards
from mcmfh.search.item_rows import ItemRows
from mcmfh.search.mapped import MappedRows
from mcmfh.search.masks import RowFilter
from mcmfh.snapshots.document import (
    SnapshotDocument,
    UnknownFormat,
    bundle_address,
    newest_snapshot,
    read_snapshot,
    snapshot_numbers,
)
from mcmfh.store import files, private
from mcmfh.store.outages import is_outage


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
    cache: Path
    inodes: dict[Path, int]  # the cached files that are mapped

    @property
    def bits(self) -> tuple[int, ...]:
        return self.document.bits

    def damaged(self) -> list[str]:
        """Names of cached files that are not what they were when they were verified; reads every byte.

        Before that, the cache gives up what it need not keep: this snapshot's predecessor was open when it was filled.
        """
        with contextlib.suppress(Exception):  # a store that does not answer damages nothing
            _sweep(self.cache, self.root)
        return [path.name for path, inode in self.inodes.items() if inode_of(path) != inode or not verified(path)]

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
    except UnknownFormat:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"the newest snapshot of archive '{root}' is damaged; restore it, or publish again with `mcmfh snapshots "
            "rollback`"
        ) from error
    if head is None:
        raise InputError(f"archive '{root}' has no snapshot; run jobs/hash_archive.py first")
    return head


def newest_readable(root: str) -> tuple[int, SnapshotDocument]:
    """(number, document) of the newest snapshot whose document, and whose bundle's, can be read.

    Where there is none, as `latest`.
    """
    for number in reversed(snapshot_numbers(root)):
        try:
            document = read_snapshot(root, number)
            device_of_codes(bundle_address(root, document))
            return number, document
        except Exception as error:  # the files of a snapshot may be missing or damaged in any way
            if is_outage(error):
                raise
    return latest(root)


def is_published(root: str, number: int, digest: str) -> bool:
    """Whether snapshot `number` of the archive at `root` is the one with that digest; so is one that is damaged."""
    try:
        return read_snapshot(root, number).digest == digest
    except FileNotFoundError:
        return False
    except (ValueError, KeyError, TypeError, AttributeError):
        return True


def cache_home(cache: str | None = None) -> Path:
    """The node's cache: `cache`, else $MCMFH_CACHE, else ~/.cache/mcmfh."""
    return Path(cache or os.environ.get("MCMFH_CACHE") or Path.home() / ".cache" / "mcmfh")


def sweep_cache(root: str) -> None:
    """Remove from this node's cache what the archive at `root` has no more, unless a process has it open."""
    if (cache_home() / "shards").is_dir():
        _sweep(cache_home(), files.absolute(root))


def _sweep(cache: Path, root: str) -> None:
    sweep(cache, root, partial(is_published, root), needed=partial(_named_digests, root))


def _named_digests(root: str) -> set[str] | None:
    """Of all files that the snapshots of the archive at `root` name; None where one of them cannot be read."""
    try:
        documents = [read_snapshot(root, number) for number in snapshot_numbers(root)]
    except Exception:  # it may name any
        return None
    return {name.partition(".")[0] for document in documents for name in document.files()}


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
    home = cache_home(cache)
    folder = home / (digest if parts == 1 else f"{digest}.{part}-of-{parts}")
    make_folder(folder)
    home.chmod(private.FOLDER)  # one that an earlier version created, or the user
    shards_folder = home / "shards"
    with locked(folder):
        used = in_use(folder)
    # Verified by each process that opens it, outside the lock: the replicas of a node do so side by side.
    if not sound(folder, shards_folder):
        with locked(folder):
            if not sound(folder, shards_folder):
                file_names = fill(root, document, mine, first, shards_folder, folder)
                complete(folder, root, number, file_names)
                _sweep(home, root)
    inodes = inodes_of(folder, shards_folder)
    items, presentable, codes = mapped_shards(mine, shards_folder)
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
        cache=home,
        inodes=inodes,
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
