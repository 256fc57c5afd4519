"""Converts a table that a hospital exported, under its own column names, into a manifest."""

import hashlib
import io
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from mcmfh.archive.manifest import SCHEMA, read_manifest, write_manifest
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
        table = _read(files.read(uri))
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InputError(f"table '{uri}' does not exist; give the URI of a CSV or Parquet file") from error
    except pa.ArrowException as error:
        raise InputError(f"table '{uri}' is neither readable Parquet nor CSV ({error}); export it anew") from error
    for name, source in columns.items():
        if name not in SCHEMA.names or name == "row":
            raise InputError(f"'{name}' is no column of a manifest; use one of: {', '.join(SCHEMA.names[1:])}")
        if source not in table.column_names:
            raise InputError(f"table '{uri}' has no column '{source}'; it has: {', '.join(table.column_names)}")
    renamed = {source: name for name, source in columns.items()}
    kept = [name for name in table.column_names if name in renamed or name not in columns]
    table = table.select(kept).rename_columns([renamed.get(name, name) for name in kept])
    if "item_id" not in table.column_names:
        ids = [hashlib.sha256(repr(row).encode()).hexdigest()[:24] for row in table.to_pylist()]
        table = table.append_column("item_id", pa.array(ids, pa.string()))
    # `read_manifest` fills in defaults and resolves relative URIs against the file's folder, so the draft must stand
    # beside the table.
    draft = files.join(files.parent(uri), f".{hashlib.sha256(output.encode()).hexdigest()[:12]}.parquet")
    try:
        write_manifest(table, draft)
        manifest = read_manifest(draft, [name for name in table.column_names if name not in SCHEMA.names])
    finally:
        files.delete(draft)
    write_manifest(with_splits(manifest), output)
    return int(manifest.num_rows)


def _read(data: bytes) -> pa.Table:
    if data[:4] == b"PAR1":
        return pq.read_table(pa.BufferReader(data))
    header = data.partition(b"\n")[0]
    delimiter = max(b",;\t".decode(), key=header.decode("utf-8", "replace").count)
    names = [name.strip().strip('"') for name in header.decode("utf-8-sig", "replace").strip().split(delimiter)]
    return pa.csv.read_csv(
        io.BytesIO(data),
        read_options=pa.csv.ReadOptions(block_size=min(len(data) + 1, 1 << 28)),
        parse_options=pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(
            column_types={name: pa.string() for name in names}, null_values=[""], strings_can_be_null=True
        ),
    )
