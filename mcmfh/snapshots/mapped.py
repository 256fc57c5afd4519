"""Files of a snapshot as they lie in the cache, mapped into memory: nothing is read before it is asked for.

Reading one row of an Arrow file touches one page a column, so an answer costs the same whatever the archive's size,
and all replicas of a node share the pages.
"""

import json
import mmap
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa


class MappedRows:
    """Arrow IPC files, one after the other, as one list of rows."""

    def __init__(self, paths: Sequence[Path]):
        self.batches: list[dict[str, pa.Array]] = []
        lengths = []
        for path in paths:
            file = pa.ipc.open_file(pa.memory_map(str(path)))
            for number in range(file.num_record_batches):
                batch = file.get_batch(number)
                self.batches.append(dict(zip(batch.schema.names, batch.columns)))
                lengths.append(batch.num_rows)
        self.starts = [0, *accumulate(lengths)]

    def __len__(self) -> int:
        return self.starts[-1]

    def row(self, row: int) -> dict[str, Any]:
        """All columns of a row. Raises IndexError."""
        batch, within = self._place(row)
        return {name: column[within].as_py() for name, column in batch.items()}

    def value(self, name: str, row: int) -> Any:
        """One column of a row. Raises IndexError."""
        batch, within = self._place(row)
        return batch[name][within].as_py()

    def column(self, name: str) -> Iterator[tuple[int, pa.Array]]:
        """(its first row, a stretch of the column) in order, copied nowhere."""
        return ((start, batch[name]) for start, batch in zip(self.starts, self.batches))

    def _place(self, row: int) -> tuple[dict[str, pa.Array], int]:
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} is outside the snapshot")
        number = bisect_right(self.starts, row) - 1
        return self.batches[number], row - self.starts[number]


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
