"""Files of a snapshot as they lie in the cache, mapped into memory: nothing is read before it is asked for.

Reading one row of an Arrow file touches one page a column, so an answer costs the same whatever the archive's size,
and all replicas of a node share the pages.
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
    """Arrow IPC files, one after the other, as one list of rows."""

    def __init__(self, paths: Sequence[Path]):
        self.batches: list[dict[str, pa.Array]] = []
        self.readers: list[list[tuple[str, Callable[[int], Any]]]] = []
        lengths = []
        for path in paths:
            file = pa.ipc.open_file(pa.memory_map(str(path)))
            for number in range(file.num_record_batches):
                batch = file.get_batch(number)
                self.batches.append(dict(zip(batch.schema.names, batch.columns)))
                self.readers.append([(name, reader(column)) for name, column in self.batches[-1].items()])
                lengths.append(batch.num_rows)
        self.starts = [0, *accumulate(lengths)]

    def __len__(self) -> int:
        return self.starts[-1]

    def row(self, row: int) -> dict[str, Any]:
        """All columns of a row. Raises IndexError."""
        batch, within = self._place(row)
        return {name: read(within) for name, read in self.readers[batch]}

    def value(self, name: str, row: int) -> Any:
        """One column of a row. Raises IndexError."""
        batch, within = self._place(row)
        return self.batches[batch][name][within].as_py()

    def column(self, name: str) -> Iterator[tuple[int, pa.Array]]:
        """(its first row, a stretch of the column) in order, copied nowhere."""
        return ((start, batch[name]) for start, batch in zip(self.starts, self.batches))

    def _place(self, row: int) -> tuple[int, int]:
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} is outside the snapshot")
        number = bisect_right(self.starts, row) - 1
        return number, row - self.starts[number]


def reader(column: pa.Array) -> Callable[[int], Any]:
    """Row → Python value. Texts without nulls are read past Arrow's scalars, which cost more than all the rest."""
    if column.type != pa.string() or column.null_count or not len(column):
        return lambda row: column[row].as_py()
    _, offsets, data = column.buffers()
    at, text = memoryview(offsets).cast("i")[column.offset :], memoryview(data or b"")
    return lambda row: str(text[at[row] : at[row + 1]], "utf-8")


def mapped_tensors(path: Path) -> dict[str, np.ndarray]:
    """The uint8 tensors of a .safetensors file (8 bytes: length of the JSON header; header; data), copied nowhere."""
    with path.open("rb") as file:
        view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    begin = 8 + int.from_bytes(view[:8], "little")
    header = json.loads(view[8:begin])
    header.pop("__metadata__", None)
    return {
        name: np.ndarray(tuple(entry["shape"]), np.uint8, view, begin + entry["data_offsets"][0])
        for name, entry in header.items()
    }
