"""Everything that a run has written, opened: what is compressed is unpacked, so that a search finds what it holds."""

import bz2
import gzip
import io
import logging
import os
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

Said = list[tuple[str, bytes]]  # (what it is, its bytes)


def written(folder: Path, what: str) -> Said:
    """The name and the content of every file below `folder`; each is called by `what` and its path in the folder."""
    said: Said = []
    for path in sorted(folder.rglob("*")):
        name = f"{what}/{path.relative_to(folder)}"
        said.append((f"name of {what}", name.encode()))
        if path.is_file() and not path.is_symlink():
            said += opened(name, path.read_bytes())
    return said


def opened(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """The bytes, and what they hold unpacked: a table by columns, called `<name>: <column>`, a container by members."""
    yield name, data
    if data[:4] == b"PAR1":
        yield from _columns(name, pq.read_table(pa.BufferReader(data)))
    elif data[:6] == b"ARROW1":
        yield from _columns(name, pa.ipc.open_file(pa.BufferReader(data)).read_all())
    elif data[:2] == b"\x1f\x8b":
        yield from opened(name, gzip.decompress(data))
    elif data[:3] == b"BZh":
        yield from opened(name, bz2.decompress(data))
    elif data[:4] == b"\x28\xb5\x2f\xfd":
        yield from opened(name, pa.CompressedInputStream(pa.BufferReader(data), "zstd").read())
    elif data[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(data)) as container:
            for member in container.namelist():
                yield from opened(f"{name}: {member}", member.encode() + b"\n" + container.read(member))


def _columns(name: str, table: pa.Table) -> Iterator[tuple[str, bytes]]:
    yield f"{name}: metadata", repr(table.schema).encode()
    for column in table.column_names:
        values = table[column].combine_chunks()
        if pa.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        if not pa.types.is_fixed_size_list(values.type):
            yield f"{name}: {column}", repr(values.to_pylist()).encode()


@contextmanager
def printed_to(path: Path) -> Iterator[None]:
    """Append to `path` what this process, its threads, its C libraries and its loggers say in the block."""
    with path.open("a") as file, redirect_stdout(file), redirect_stderr(file):
        handler = logging.StreamHandler(file)
        logging.getLogger().addHandler(handler)
        terminals = [os.dup(1), os.dup(2)]
        for number in (1, 2):
            os.dup2(file.fileno(), number)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            logging.getLogger().removeHandler(handler)
            for number, terminal in zip((1, 2), terminals):
                os.dup2(terminal, number)
                os.close(terminal)
