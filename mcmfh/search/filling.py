"""Filling a node's cache: the shards of a snapshot are downloaded and verified, and what searching needs is derived.

All is written below `<snapshot>/arriving` first and moved when it is whole. Only the process that holds the folder's
lock writes there, so what an earlier one left behind when it was killed, or the disk was full, is swept by the next.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mcmfh.archive.modality import MODALITIES
from mcmfh.hamming import HammingIndex
from mcmfh.search.cache import SEAL, digest_of, make_folder, seal, settle, verified
from mcmfh.search.item_rows import write_item_rows
from mcmfh.search.mapped import MappedRows, mapped_tensors
from mcmfh.snapshots import shards
from mcmfh.snapshots.document import SnapshotDocument
from mcmfh.snapshots.shards import Shard
from mcmfh.store import files, layout

ARRIVING = "arriving"


def mapped_shards(
    mine: Sequence[Shard], shards_folder: Path
) -> tuple[MappedRows, MappedRows, list[dict[str, np.ndarray]]]:
    """(items, what is shown of them, codes) of downloaded shards."""
    return (
        MappedRows([shards_folder / f"{shard.items}.arrow" for shard in mine]),
        MappedRows([shards_folder / f"{shard.shown}.shown.arrow" for shard in mine]),
        [mapped_tensors(shards_folder / f"{shard.codes}.safetensors") for shard in mine],
    )


def fill(
    root: str, document: SnapshotDocument, mine: Sequence[Shard], first: int, shards_folder: Path, folder: Path
) -> list[str]:
    """The names of the files in `shards_folder` that the shards `mine` need, after adding those that the node lacks.

    first: the first row of `mine` in the snapshot. Raises ValueError where a file of the store is damaged.
    """
    with _arriving(folder) as arriving:
        make_folder(shards_folder)
        listed: list[str] = []
        for shard in mine:
            names = f"{shard.codes}.safetensors", f"{shard.items}.arrow", f"{shard.shown}.shown.arrow"
            _fetch(root, shard.codes, "safetensors", arriving, shards_folder / names[0])
            _fetch(root, shard.items, "arrow", arriving, shards_folder / names[1])
            sealed = _fetch_shown(root, shard.shown, arriving, shards_folder / names[2])
            listed += [*names, sealed.name]
        items, _, codes = mapped_shards(mine, shards_folder)
        removed = shards.read_tombstones(root, document.tombstones, document.rows)
        live = ~removed[first : first + len(items)]
        np.save(arriving / "live.npy", live)
        write_item_rows(arriving / "names.npy", items, live)
        for modality in MODALITIES:
            indexed = _has_code(mine, codes, modality) & live
            ids = None if indexed.all() else np.flatnonzero(indexed)
            for bits in document.bits:
                name = shards.code_column(modality, bits)
                column = np.concatenate([np.zeros((0, bits // 8), np.uint8), *(part[name] for part in codes)])
                index = HammingIndex(column if ids is None else column[ids], ids, bits=bits)
                index.save(arriving / f"{name}.index")
        for path in list(arriving.iterdir()):
            settle(path, folder / path.name)
    return listed


@contextmanager
def _arriving(folder: Path) -> Iterator[Path]:
    """An empty folder for files that are not whole yet, removed with all that is left in it."""
    arriving = folder / ARRIVING
    shutil.rmtree(arriving, ignore_errors=True)
    make_folder(arriving)
    try:
        yield arriving
    finally:
        shutil.rmtree(arriving, ignore_errors=True)


def _has_code(mine: Sequence[Shard], codes: list[dict[str, np.ndarray]], modality: str) -> np.ndarray:
    """bool [rows]: whether each row has a code of `modality`; tombstoned rows count too."""
    parts = [shards.presence(part, modality, shard.rows) for part, shard in zip(codes, mine)]
    return np.concatenate([np.zeros(0, bool), *parts])


def _fetch(root: str, name: str, suffix: str, arriving: Path, target: Path) -> None:
    """Download a content-addressed file, unless a sound one exists. Raises ValueError where the store's is damaged."""
    if target.exists() and verified(target):
        target.touch()
        return
    uri = layout.archive_file(root, layout.SHARDS, name, suffix)
    files.download(uri, arriving / target.name)
    if digest_of(arriving / target.name) != name:
        raise ValueError(f"'{uri}' does not have the content that its name promises; restore it from a copy")
    settle(arriving / target.name, target)


def _fetch_shown(root: str, name: str, arriving: Path, target: Path) -> Path:
    """Download what is shown of a shard's items and decompress it; returns the file beside it that holds its digest."""
    sealed = target.with_name(target.name + SEAL)
    if target.exists() and verified(target):
        target.touch()
        sealed.touch()
        return sealed
    compressed = arriving / f"{name}.parquet"
    _fetch(root, name, "parquet", arriving, compressed)
    _decompress(compressed, arriving / target.name)
    compressed.unlink()
    settle(seal(arriving / target.name), sealed)
    settle(arriving / target.name, target)
    return sealed


def _decompress(parquet: Path, target: Path) -> None:
    """Write a Parquet file as uncompressed Arrow IPC, batch by batch."""
    with pq.ParquetFile(parquet) as source, pa.ipc.new_file(str(target), source.schema_arrow) as writer:
        for batch in source.iter_batches(1 << 16):
            writer.write_batch(batch)
