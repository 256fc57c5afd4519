"""Units done: a Parquet file of results and, after it, a create-only marker. The marker is what counts.

A unit's file may be written twice (a worker died before its marker); both hold the same, and the first marker wins.

    <folder>/units/<input digest>.parquet      results, one row an item, failures with a `reason`
    <folder>/done/<input digest>.json          {"file": sha256, "rows": n, "quarantined": n}
"""

import io
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mcmfh.archive.order import KeyRange, named_range
from mcmfh.store import files

ReadUnit = Callable[[str, str, Sequence[str] | None], pa.Table]


def write_unit(folder: str, unit: str, table: pa.Table) -> dict[str, Any]:
    """Store the results of `unit` and mark it done; `table` has a column `reason` (null where all went well)."""
    sink = io.BytesIO()
    pq.write_table(table.combine_chunks(), sink, compression="zstd")
    data = sink.getvalue()
    files.create(unit_uri(folder, unit), data)
    quarantined = table.num_rows - table["reason"].null_count
    marker = {"file": files.digest(data), "rows": table.num_rows, "quarantined": quarantined}
    files.create(files.join(folder, "done", f"{unit}.json"), files.canonical_json(marker))
    return marker


def unit_uri(folder: str, unit: str) -> str:
    return files.join(folder, "units", f"{unit}.parquet")


def done_units(folder: str, within: KeyRange | None = None) -> list[str]:
    """Names of the units that are done, sorted; `within`: only of those that may hold items of that range."""
    found = [name[:-5] for name in files.names(files.join(folder, "done")) if name.endswith(".json")]
    return [name for name in found if within is None or within.overlaps(named_range(name))]


def read_unit(folder: str, unit: str, columns: Sequence[str] | None = None) -> pa.Table:
    """The results of a done unit, all or some columns."""
    with files.open_file(unit_uri(folder, unit)) as file:
        return pq.read_table(file, columns=list(columns) if columns else None)


def read_units(
    folder: str, units: Sequence[str], columns: Sequence[str] | None = None, read: ReadUnit = read_unit
) -> Iterator[pa.Table]:
    """`read` of each, in order, four ahead and never more in memory."""
    with ThreadPoolExecutor(4, thread_name_prefix="units") as pool:
        waiting: deque[Future[pa.Table]] = deque()
        for unit in units:
            waiting.append(pool.submit(read, folder, unit, columns))
            if len(waiting) > 4:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
