"""A snapshot's cached files, mapped into memory: a page is read when it is first used.

Reading one row of an Arrow file touches one page of each column, so its cost does not depend on the size of the
archive. All replicas of a node share the pages.
"""

import json
import mmap
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa


class MappedRows:
    """Arrow IPC files, concatenated to one list of rows."""

    def __init__(self, paths: Sequence[Path]):
        self.batches: list[dict[str, pa.Array]] = []
        self.readers: list[list[tuple[str, Callable[[int], Any]]]] = []
        lengths: list[int] = []
        for path in paths:
            file = pa.ipc.open_file(pa.memory_map(str(path)))
            for number in range(file.num_record_batches):
                batch = file.get_batch(number)
                self.batches.append(dict(zip(batch.schema.names, batch.columns)))
                self.readers.append([(name, value_reader(column)) for name, column in self.batches[-1].items()])
                lengths.append(batch.num_rows)
        self.starts = [0, *accumulate(lengths)]

    def __len__(self) -> int:
        return self.starts[-1]

    def row(self, row: int) -> dict[str, Any]:
        """All columns of a row. Raises IndexError."""
        batch, within = self._locate(row)
        return {name: read(within) for name, read in self.readers[batch]}

    def value(self, name: str, row: int) -> Any:
        """One column of a row. Raises IndexError."""
        batch, within = self._locate(row)
        return self.batches[batch][name][within].as_py()

    def column(self, name: str) -> Iterator[tuple[int, pa.Array]]:
        """(first row, values) of each record batch of a column, in order, without copying."""
        return ((start, batch[name]) for start, batch in zip(self.starts, self.batches))

    def _locate(self, row: int) -> tuple[int, int]:
        """(the record batch that holds a row, the row's position in it)."""
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} is outside the snapshot")
        number = bisect_right(self.starts, row) - 1
        return number, row - self.starts[number]


def value_reader(column: pa.Array) -> Callable[[int], Any]:
    """A function row → Python value.

    Strings without nulls are decoded from Arrow's buffers: creating Arrow scalars would cost more than all other work.
    """
    if column.type != pa.string() or column.null_count or not len(column):
        return lambda row: column[row].as_py()
    _, offsets, data = column.buffers()
    at, text = memoryview(offsets).cast("i")[column.offset :], memoryview(data or b"")
    return lambda row: str(text[at[row] : at[row + 1]], "utf-8")


def mapped_tensors(path: Path) -> dict[str, np.ndarray]:
    """The uint8 tensors of a .safetensors file, without copying.

    The file holds the length of the header (8 bytes), the header (JSON) and the data.
    """
    with path.open("rb") as file:
        view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    begin = 8 + int.from_bytes(view[:8], "little")
    header = json.loads(view[8:begin])
    header.pop("__metadata__", None)
    return {
        name: np.ndarray(tuple(entry["shape"]), np.uint8, view, begin + entry["data_offsets"][0])
        for name, entry in header.items()
    }
