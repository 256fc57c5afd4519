"""Converts a table that a hospital exported, under its own column names, into a manifest."""

import hashlib
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mcmfh.archive.csv_table import read_csv_table, refuse_equal_names
from mcmfh.archive.manifest import SCHEMA, as_manifest, write_manifest
from mcmfh.archive.splits import with_splits
from mcmfh.errors import InputError
from mcmfh.store import files


def manifest_of_table(uri: str, columns: Mapping[str, str], output: str) -> int:
    """Write the manifest of the CSV or Parquet table at `uri` to `output`. Returns the number of rows.

    columns: manifest column → column of the table, for every column with another name, e.g. {"report": "FINDINGS"}.
    A table without item_id uses the digest of each row's contents. A table without split gets one by group. Columns
    that are not part of the manifest's schema are kept as filters. Raises InputError for a missing column or an
    unreadable table.
    """
    uri = files.absolute(uri)
    try:
        table, faults = _read(uri)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InputError(f"table '{uri}' does not exist; give the URI of a CSV or Parquet file") from error
    except pa.ArrowException as error:  # its message may quote cells
        raise InputError(f"table '{uri}' is neither readable Parquet nor CSV; export it anew") from error
    sources = {name: _source(table, uri, name, source) for name, source in columns.items()}
    renamed = {source: name for name, source in sources.items()}
    kept = [name for name in table.column_names if name in renamed or name.lower() not in sources]
    table = table.select(kept).rename_columns([renamed.get(name, name) for name in kept])
    if "item_id" not in (name.lower() for name in table.column_names):
        ids = ["" if row in faults else _digest(cells) for row, cells in enumerate(table.to_pylist())]
        table = table.append_column("item_id", pa.array(ids, pa.string()))
    others = [name for name in table.column_names if name.lower() not in SCHEMA.names]
    manifest = as_manifest(table, uri, others, faults)
    write_manifest(with_splits(manifest), output)
    return int(manifest.num_rows)


def _read(uri: str) -> tuple[pa.Table, dict[int, str]]:
    data = files.read(uri)
    if data[:4] == b"PAR1":
        table = pq.read_table(pa.BufferReader(data))
        refuse_equal_names(table.column_names, f"table '{uri}'")
        return table, {}
    read = read_csv_table(data, f"table '{uri}'")
    return read.table, read.faults


def _source(table: pa.Table, uri: str, name: str, source: str) -> str:
    """The column of `table` that becomes `name`, as the table calls it. Raises InputError."""
    if name not in SCHEMA.names or name in ("row", "read_fault"):
        raise InputError(f"'{name}' is no column of a manifest; use one of: {', '.join(SCHEMA.names[1:-1])}")
    for own in table.column_names:
        if " ".join(own.split()).lower() == " ".join(source.split()).lower():
            return str(own)
    raise InputError(f"table '{uri}' has no column '{source}'; it has: {', '.join(table.column_names)}")


def _digest(cells: Mapping[str, Any]) -> str:
    return hashlib.sha256(repr(cells).encode()).hexdigest()[:24]
