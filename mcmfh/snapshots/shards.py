"""The files of a snapshot, byte by byte. Each is named by the sha256 of its content and never changes.

shards/<sha256>.safetensors   per modality and K: `<modality>.<K>` uint8[N, K/8] and `<modality>.present`, a bitmap
                              uint8[ceil(N/8)] (little-endian) of the rows that have one; absent rows are zero
shards/<sha256>.arrow         N rows: item_id, fingerprint, study_id, then the filter columns (Arrow IPC, uncompressed)
shards/<sha256>.parquet       N rows of what may be shown: image_uri (relative to the store if below it), labels, date
                              and report (null where switched off)
tombstones/<sha256>           bitmap over all rows of the snapshot, little-endian: removed or superseded
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import load, save

from mcmfh.archive.order import KeyRange, keys
from mcmfh.store import files, layout
from mcmfh.store.relative import address_column, named_column

SHARD_ROWS = 1 << 20
SUFFIXES = {"codes": "safetensors", "items": "arrow", "shown": "parquet"}
SHOWN = ("image_uri", "labels", "date", "report")


@dataclass(frozen=True)
class Shard:
    """One shard as a snapshot lists it: file digests, rows and the range of keys that they span."""

    codes: str
    items: str
    shown: str
    rows: int
    keys: str = str(KeyRange())

    def to_json(self) -> dict[str, Any]:
        """The shard as a snapshot's document and a marker state it."""
        return asdict(self)

    def files(self) -> set[str]:
        """Names of the shard's files below shards/."""
        return {f"{getattr(self, name)}.{suffix}" for name, suffix in SUFFIXES.items()}


def code_column(modality: str, bits: int) -> str:
    """The tensor of a modality's codes of one length."""
    return f"{modality}.{bits}"


def presence_column(modality: str) -> str:
    """The tensor that says which rows have a code of a modality."""
    return f"{modality}.present"


def code_array(codes: np.ndarray, present: np.ndarray) -> pa.Array:
    """uint8[N, K/8] and bool[N] as a column of fixed-size binaries, null where not present."""
    mask = pa.py_buffer(pack_bits(present))
    return pa.Array.from_buffers(
        pa.binary(codes.shape[1]), len(codes), [mask, pa.py_buffer(np.ascontiguousarray(codes))]
    )


def write_shard(root: str, table: pa.Table, filters: Sequence[str]) -> Shard:
    """Store `table` in item order (item_id, fingerprint, study_id, filters, SHOWN, fixed-size binary code columns)."""
    tensors: dict[str, np.ndarray] = {}
    for name in table.column_names:
        modality, dot, bits = name.partition(".")
        if not dot:
            continue
        column = table[name].combine_chunks()
        present = column.is_valid().to_numpy(zero_copy_only=False)
        width = int(bits) // 8
        start = column.offset * width
        codes = np.frombuffer(column.buffers()[1], np.uint8)[start : start + len(column) * width].reshape(-1, width)
        tensors[name] = np.where(present[:, None], codes, np.uint8(0))
        tensors[presence_column(modality)] = pack_bits(present)
    items = table.select(["item_id", "fingerprint", "study_id", *filters])
    return write_parts(root, tensors, items, table.select(list(SHOWN)))


def write_parts(root: str, codes: dict[str, np.ndarray], items: pa.Table, shown: pa.Table) -> Shard:
    """Store the three files of a shard: tensors as `read_codes` returns them, and tables of the same rows in order."""
    ends = keys(items["item_id"].take([0, items.num_rows - 1]))
    return Shard(
        codes=_store(root, layout.SHARDS, "safetensors", save(codes)),
        items=_store(root, layout.SHARDS, "arrow", _arrow(items)),
        shown=write_shown(root, shown),
        rows=items.num_rows,
        keys=str(KeyRange(*map(int, ends))),
    )


def codes_of_rows(codes: Mapping[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    """Tensors of a shard's .safetensors file for some of its rows, bool[N]."""
    return {
        name: pack_bits(bits_of(tensor, 0, len(rows))[rows]) if name.endswith(".present") else tensor[rows]
        for name, tensor in codes.items()
    }


def write_shown(root: str, table: pa.Table) -> str:
    """Store what may be shown of a shard's items (SHOWN, with absolute addresses); returns its digest."""
    place = table.column_names.index("image_uri")
    names = named_column(layout.store_of(root), table["image_uri"])
    return _store(root, layout.SHARDS, "parquet", _parquet(table.set_column(place, "image_uri", names)))


def write_tombstones(root: str, bitmap: np.ndarray) -> str | None:
    """Store uint8[ceil(rows/8)] and return its digest; None where nothing is removed."""
    return _store(root, layout.TOMBSTONES, "", bitmap.tobytes()) if bitmap.any() else None


def read_bitmap(root: str, name: str | None, rows: int) -> np.ndarray:
    """uint8[ceil(rows/8)], writable: the stored bitmap, as of a snapshot with `rows` rows.

    It may be shorter: shards added later have no tombstones in it.
    """
    bitmap = np.zeros((rows + 7) // 8, np.uint8)
    if name:
        stored = np.frombuffer(read_verified(root, layout.TOMBSTONES, name, ""), np.uint8)[: len(bitmap)]
        bitmap[: len(stored)] = stored
    return bitmap


def read_tombstones(root: str, name: str | None, rows: int) -> np.ndarray:
    """bool[rows]: the removed rows of a snapshot."""
    return bits_of(read_bitmap(root, name, rows), 0, rows)


def bits_of(bitmap: np.ndarray, start: int, rows: int) -> np.ndarray:
    """bool[rows]: bits `start` … `start` + `rows` of a little-endian bitmap."""
    bits = np.unpackbits(bitmap[start // 8 : (start + rows + 7) // 8], bitorder="little")
    return bits[start % 8 : start % 8 + rows].astype(bool)


def pack_bits(bits: np.ndarray) -> np.ndarray:
    """uint8[ceil(N/8)]: bool[N] as a little-endian bitmap."""
    return np.packbits(bits, bitorder="little")


def count_bits(bitmap: np.ndarray) -> int:
    """How many bits of a bitmap are set."""
    return int(np.bitwise_count(bitmap).sum())


def presence(tensors: Mapping[str, np.ndarray], modality: str, rows: int) -> np.ndarray:
    """bool[rows]: the rows of a shard that have a code of `modality`; tensors: of its .safetensors file."""
    return bits_of(tensors[presence_column(modality)], 0, rows)


def set_bits(bitmap: np.ndarray, start: int, more: np.ndarray) -> None:
    """Set, in place, the bits of bool[rows] `more` from bit `start` on."""
    touched = slice(start // 8, (start + len(more) + 7) // 8)
    bits = np.unpackbits(bitmap[touched], bitorder="little")
    bits[start % 8 : start % 8 + len(more)] |= more
    bitmap[touched] = pack_bits(bits)


def read_codes(root: str, shard: Shard) -> dict[str, np.ndarray]:
    """Tensors of a shard's .safetensors file, verified."""
    return load(read_verified(root, layout.SHARDS, shard.codes, SUFFIXES["codes"]))


def read_items(root: str, shard: Shard) -> pa.Table:
    """Rows of a shard's .arrow file, verified."""
    data = read_verified(root, layout.SHARDS, shard.items, SUFFIXES["items"])
    return pa.ipc.open_file(pa.BufferReader(data)).read_all()


def read_shown(root: str, shard: Shard, columns: Sequence[str]) -> pa.Table:
    """Some columns of a shard's .parquet file, with absolute addresses."""
    table = read_shown_as_stored(root, shard, columns)
    if "image_uri" not in table.column_names:
        return table
    place = table.column_names.index("image_uri")
    return table.set_column(place, "image_uri", address_column(layout.store_of(root), table["image_uri"]))


def read_shown_as_stored(root: str, shard: Shard, columns: Sequence[str]) -> pa.Table:
    """`read_shown`, where what lies below the store has its relative address."""
    with files.open_file(layout.archive_file(root, layout.SHARDS, shard.shown, SUFFIXES["shown"])) as file:
        return pq.read_table(file, columns=list(columns))


def read_verified(root: str, folder: str, name: str, suffix: str) -> bytes:
    """A content-addressed file's bytes. Raises ValueError when they are not what the name says."""
    uri = layout.archive_file(root, folder, name, suffix)
    data = files.read(uri)
    if files.digest(data) != name:
        raise ValueError(f"'{uri}' does not have the content that its name promises; restore it from a copy")
    return data


def _store(root: str, folder: str, suffix: str, data: bytes) -> str:
    name = files.digest(data)
    files.put(layout.archive_file(root, folder, name, suffix), data)
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
