"""The quarantine: a table with one row and one reason for every item that could not be used.

Reasons are short fixed sentences. Neither they nor the table hold report text, file names or URIs.
"""

import io
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mcmfh.store import files

SCHEMA = pa.schema(
    [
        ("item_id", pa.string()),
        ("row", pa.int64()),  # of the manifest that the item came from
        ("reason", pa.string()),
        ("digest", pa.string()),  # fingerprint of the input that failed; when it changes, the item is tried again
    ]
)


def quarantine_table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Rows with the keys of SCHEMA (missing ones become null) as a table sorted by item_id and row."""
    return pa.Table.from_pylist(list(rows), schema=SCHEMA).sort_by([("item_id", "ascending"), ("row", "ascending")])


def write_quarantine(table: pa.Table, uri: str) -> bool:
    """Write the table to `uri` as Parquet unless `uri` exists; returns whether this call wrote it."""
    sink = io.BytesIO()
    pq.write_table(table.select(SCHEMA.names).cast(SCHEMA).combine_chunks(), sink, compression="zstd")
    return files.create(uri, sink.getvalue())


def read_quarantine(uris: str | Iterable[str]) -> pa.Table:
    """The rows of one quarantine file or of several together. Raises FileNotFoundError."""
    listed = [uris] if isinstance(uris, str) else list(uris)
    tables = [pq.read_table(pa.BufferReader(files.read(uri)), schema=SCHEMA) for uri in listed]
    return pa.concat_tables([SCHEMA.empty_table(), *tables])


def count_reasons(table: pa.Table) -> dict[str, int]:
    """Number of rows for each reason, the most frequent first."""
    return dict(Counter(table["reason"].to_pylist()).most_common())
