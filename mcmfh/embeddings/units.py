"""Finished units: a Parquet file of results and, after it, a create-only marker. A unit is finished once it is marked.

A worker that dies before the marker leaves its results, and the next one computes the same results again.

    <embeddings>/units/<unit>.parquet      results, one row an item, failures with a `reason`
    <embeddings>/done/<unit>.json          {"file": sha256, "rows": n, "quarantined": n}, and its own digest
"""

import io
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mcmfh.archive.order import KeyRange, named_range
from mcmfh.store import documents, files, layout

ReadUnit = Callable[[str, str, Sequence[str] | None], pa.Table]


def write_unit(folder: str, unit: str, table: pa.Table) -> dict[str, Any]:
    """Store the results of `unit` and its marker, which is returned; `table.reason` is null where all went well."""
    sink = io.BytesIO()
    pq.write_table(table.combine_chunks(), sink, compression="zstd")
    data = sink.getvalue()
    if not files.create(layout.unit_uri(folder, unit), data):  # left by a worker that died before the marker
        data = files.read(layout.unit_uri(folder, unit))
    quarantined = table.num_rows - table["reason"].null_count
    marker = {"file": files.digest(data), "rows": table.num_rows, "quarantined": quarantined}
    documents.create(layout.unit_marker(folder, unit), marker)
    return marker


def done_units(folder: str, within: KeyRange | None = None) -> list[str]:
    """Names of the finished units, sorted; `within`: only of those that may hold items of that range."""
    names = [name[:-5] for name in files.names(layout.unit_markers(folder)) if name.endswith(".json")]
    return [name for name in names if within is None or within.overlaps(named_range(name))]


def read_unit(folder: str, unit: str, columns: Sequence[str] | None = None) -> pa.Table:
    """The results of a finished unit, all or some columns. A text column that an older unit lacks is null."""
    with files.open_file(layout.unit_uri(folder, unit)) as file:
        parquet = pq.ParquetFile(file)
        names = list(columns or parquet.schema_arrow.names)
        stored = [name for name in names if name in parquet.schema_arrow.names]
        table = parquet.read(stored)
    for name in names:
        if name not in stored:
            table = table.append_column(name, pa.nulls(table.num_rows, pa.string()))
    return table.select(names)


def read_units(
    folder: str, units: Sequence[str], columns: Sequence[str] | None = None, read: ReadUnit = read_unit
) -> Iterator[pa.Table]:
    """The results of each unit, in order. Four are read ahead, and no more are held in memory."""
    with ThreadPoolExecutor(4, thread_name_prefix="units") as pool:
        waiting: deque[Future[pa.Table]] = deque()
        for unit in units:
            waiting.append(pool.submit(read, folder, unit, columns))
            if len(waiting) > 4:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
