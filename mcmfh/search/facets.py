"""The filters of a snapshot: each declared column with the values that occur, for a form to offer."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mcmfh.search.masks import Where
from mcmfh.search.opening import Snapshot

# A form offers at most so many values. A column with more is described by its range; a text column then by nothing.
MOST_VALUES = 50

Facet = dict[str, Any]  # type; values: set, or None where there are too many; min and max, None for text


def snapshot_facets(snapshot: Snapshot, where: Where) -> dict[str, Facet]:
    """The facet of each filter column, over the live items of a snapshot, or of a part of one, that meet `where`."""
    mask = snapshot.row_filter.mask(where) if where else snapshot.live
    return {name: merged_facet([*_batch_facets(snapshot, name, mask)]) for name in snapshot.document.filters}


def merged_facet(parts: Sequence[Facet]) -> Facet:
    """The facet of a column from those of its parts."""
    kinds = [part["type"] for part in parts if part["type"] != "null"] or ["null"]
    values: set[Any] | None = set()
    for part in parts:
        if values is not None:
            values = None if part["values"] is None else values | part["values"]
        if values is not None and len(values) > MOST_VALUES:
            values = None
    lows = [part["min"] for part in parts if part["min"] is not None]
    highs = [part["max"] for part in parts if part["max"] is not None]
    return {"type": kinds[0], "values": values, "min": min(lows, default=None), "max": max(highs, default=None)}


def public_facet(facet: Facet) -> Facet:
    """{"type": …, "values": sorted list}; with too many values {"type": …, "min": a, "max": b}, of text {"type": …}."""
    if facet["values"] is not None:
        return {"type": facet["type"], "values": sorted(facet["values"])}
    return {name: value for name, value in facet.items() if value is not None}


def _batch_facets(snapshot: Snapshot, name: str, mask: np.ndarray) -> Iterator[Facet]:
    """The facet of each record batch of a column, over the rows in `mask` (bool [rows])."""
    all_rows = mask.all()
    for start, column in snapshot.items.column(name):
        if isinstance(column, pa.DictionaryArray):
            column = column.dictionary_decode()
        if not all_rows:
            column = column.filter(pa.array(mask[start : start + len(column)]))
        facet: Facet = {"type": str(column.type), "values": None, "min": None, "max": None}
        try:
            distinct = pc.unique(column).drop_null()
        except pa.ArrowNotImplementedError:  # lists, such as labels
            yield facet
            continue
        if len(distinct) <= MOST_VALUES:
            facet["values"] = set(distinct.to_pylist())
        if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            facet |= pc.min_max(distinct).as_py()
        yield facet
