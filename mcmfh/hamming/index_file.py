"""The index file: named arrays behind a JSON header, opened by mapping them into memory.

    bytes 0–7     b"mcmfhIX1"
    bytes 8–11    length H of the header, uint32 little-endian
    bytes 12–15   zlib.crc32 of the header, uint32 little-endian
    16 … 16+H     JSON: {"arrays": {name: {"dtype", "shape", "offset", "crc32"}}, …facts about the index}
    then          the arrays, little-endian, C order, each at its offset, a multiple of 64; zeros between; nothing after

Opening reads the header only and checks that every array lies within the file and none over another, so it takes the
same time for any size. `verify=True` reads everything and checks the checksums: the thing to do once where a file
arrives.
"""

import json
import math
import mmap
import os
import struct
import uuid
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from mcmfh.errors import InputError

_MAGIC = b"mcmfhIX1"
_PREFIX = struct.Struct("<8sII")
_ALIGNMENT = 64
_MAX_HEADER = 1 << 16
_Entry = dict[str, Any]  # dtype, shape, offset and crc32 of one array
_DTYPES = {"|u1", "<u2", "<u4", "<u8", "<i8", "<f8"}


def save_arrays(path: str | Path, facts: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Write the file atomically, replacing one of the same name."""
    path = Path(path)
    little = {name: np.ascontiguousarray(a, a.dtype.newbyteorder("<")) for name, a in arrays.items()}
    entries: dict[str, _Entry] = {}
    for name, array in little.items():
        entries[name] = {"dtype": array.dtype.str, "shape": array.shape, "offset": 0, "crc32": zlib.crc32(array.data)}
    # Offsets are part of the header that they must leave room for: a margin makes them independent of its length.
    at = _aligned(_PREFIX.size + len(json.dumps({**facts, "arrays": entries})) + 20 * len(entries))
    for name, array in little.items():
        entries[name]["offset"], at = at, _aligned(at + array.nbytes)
    header = json.dumps({**facts, "arrays": entries}).encode()
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("wb") as file:
            file.write(_PREFIX.pack(_MAGIC, len(header), zlib.crc32(header)) + header)
            for name, array in little.items():
                file.write(bytes(entries[name]["offset"] - file.tell()))
                array.tofile(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def open_arrays(path: str | Path, verify: bool = False) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(facts, arrays by name), the arrays read-only views of the file. Raises InputError if it is not as it was saved,
    as far as the header and the file's size can tell; with `verify`, as far as any byte can."""
    with Path(path).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        try:
            magic, length, checksum = _PREFIX.unpack(file.read(_PREFIX.size))
            raw = file.read(length) if magic == _MAGIC and length <= _MAX_HEADER else b""
            if not raw or zlib.crc32(raw) != checksum:
                raise ValueError("its header is damaged or of another kind of file")
            facts = json.loads(raw)
            entries = facts.pop("arrays")
            _check_layout(entries, _PREFIX.size + length, size)
            view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            arrays = {
                name: np.ndarray(tuple(entry["shape"]), entry["dtype"], view, entry["offset"])
                for name, entry in entries.items()
            }
            if verify:
                _check_bytes(view, entries, arrays, _PREFIX.size + length)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error) as error:
            raise InputError(f"'{path}' is not a sound index file ({error}); build or download it again") from error
    return facts, arrays


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGNMENT) * _ALIGNMENT


def _nbytes(entry: _Entry) -> int:
    return int(math.prod(entry["shape"])) * np.dtype(entry["dtype"]).itemsize


def _check_layout(entries: dict[str, _Entry], begin: int, size: int) -> None:
    at, end = begin, begin
    for name, entry in entries.items():
        shape, offset = entry["shape"], entry["offset"]
        if entry["dtype"] not in _DTYPES or not all(type(n) is int and n >= 0 for n in (*shape, offset)):
            raise ValueError(f"array '{name}' has an unknown type or shape")
        if offset % _ALIGNMENT or offset < at:
            raise ValueError(f"array '{name}' is misplaced")
        end = offset + _nbytes(entry)
        at = _aligned(end)
    if end != size:
        raise ValueError(f"it should be {end} bytes long and is {size}")


def _check_bytes(view: mmap.mmap, entries: dict[str, _Entry], arrays: dict[str, np.ndarray], begin: int) -> None:
    for name, entry in entries.items():
        if view[begin : entry["offset"]].strip(b"\0"):
            raise ValueError("there are bytes between its arrays")
        if zlib.crc32(arrays[name].data) != entry["crc32"]:
            raise ValueError(f"array '{name}' does not match its checksum")
        begin = entry["offset"] + _nbytes(entry)
