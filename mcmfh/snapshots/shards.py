"""The files of a snapshot, byte by byte. All are named by the sha256 of their content and never change.

shards/<sha256>.safetensors   per modality and K: `<modality>.<K>` uint8[N, K/8] and `<modality>.present`, a bitmap
                              uint8[ceil(N/8)] (little-endian) of the rows that have one; absent rows are zero
shards/<sha256>.arrow         N rows: item_id, fingerprint, study_id, then the filter columns (Arrow IPC, uncompressed)
shards/<sha256>.parquet       N rows of what may be shown: image_uri, labels, date, report (null where switched off)
tombstones/<sha256>           bitmap over all rows of the snapshot, little-endian: removed or superseded
"""

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import load, save

from mcmfh import storage

SHARD_ROWS = 1 << 20
SHOWN = ("image_uri", "labels", "date", "report")


@dataclass(frozen=True)
class Shard:
    """One shard as a snapshot lists it: file digests and rows."""

    codes: str
    items: str
    shown: str
    rows: int

    def document(self) -> dict:
        return asdict(self)


def code_column(modality: str, bits: int) -> str:
    return f"{modality}.{bits}"


def write_shard(root: str, table: pa.Table, filters: Sequence[str]) -> Shard:
    """Store `table` (item_id, fingerprint, study_id, filters, SHOWN, fixed-size binary code columns)."""
    tensors: dict[str, np.ndarray] = {}
    for name in table.column_names:
        modality, dot, bits = name.partition(".")
        if not dot:
            continue
        column = table[name].combine_chunks()
        present = column.is_valid().to_numpy(zero_copy_only=False)
        codes = np.zeros((table.num_rows, int(bits) // 8), np.uint8)
        codes[present] = np.frombuffer(b"".join(column.drop_null().to_pylist()), np.uint8).reshape(-1, codes.shape[1])
        tensors[name] = codes
        tensors[f"{modality}.present"] = np.packbits(present, bitorder="little")
    items = table.select(["item_id", "fingerprint", "study_id", *filters])
    return Shard(
        codes=_store(root, "shards", "safetensors", save(tensors)),
        items=_store(root, "shards", "arrow", _arrow(items)),
        shown=_store(root, "shards", "parquet", _parquet(table.select(list(SHOWN)))),
        rows=table.num_rows,
    )


def write_tombstones(root: str, removed: np.ndarray) -> str | None:
    """Store bool[rows] as a bitmap and return its digest; None where nothing is removed."""
    if not removed.any():
        return None
    return _store(root, "tombstones", "", np.packbits(removed, bitorder="little").tobytes())


def read_tombstones(root: str, name: str | None, rows: int) -> np.ndarray:
    """bool[rows]: removed. A bitmap may be shorter than the snapshot: shards added later have no tombstones in it."""
    removed = np.zeros(rows, bool)
    if name:
        bits = np.unpackbits(np.frombuffer(read_verified(root, "tombstones", name, ""), np.uint8), bitorder="little")
        removed[: min(rows, len(bits))] = bits[:rows]
    return removed


def read_codes(data: bytes) -> dict[str, np.ndarray]:
    """Tensors of a shard's .safetensors file."""
    return load(data)


def read_items(data: bytes | pa.Buffer) -> pa.Table:
    """Rows of a shard's .arrow file, without copying where `data` is a memory map."""
    return pa.ipc.open_file(pa.BufferReader(data)).read_all()


def read_verified(root: str, folder: str, name: str, suffix: str) -> bytes:
    """A content-addressed file's bytes. Raises ValueError when they are not what the name says."""
    uri = storage.join(root, folder, f"{name}.{suffix}" if suffix else name)
    data = storage.read(uri)
    if storage.digest(data) != name:
        raise ValueError(f"'{uri}' does not have the content that its name promises; restore it from a copy")
    return data


def _store(root: str, folder: str, suffix: str, data: bytes) -> str:
    name = storage.digest(data)
    storage.put(storage.join(root, folder, f"{name}.{suffix}" if suffix else name), data)
    return name


def _arrow(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return sink.getvalue()


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    # Small row groups: an answer shows a handful of rows out of a million.
    pq.write_table(table.combine_chunks(), sink, row_group_size=1024, compression="zstd")
    return sink.getvalue()
