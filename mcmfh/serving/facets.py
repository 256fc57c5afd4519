"""What a snapshot can be filtered by: each declared column with the values it takes, for a form to offer."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mcmfh.snapshots.reading import Snapshot

# A form offers so many values; a column with more is described by its range, or, being text, by nothing.
MOST_VALUES = 50


def facets(snapshot: Snapshot) -> dict[str, dict[str, Any]]:
    """column → {"type": …, "values": sorted list} or {"type": …, "min": a, "max": b}, over the live items."""
    return {name: _facet(_live(snapshot, name)) for name in snapshot.document["filters"]}


def _live(snapshot: Snapshot, name: str) -> pa.ChunkedArray:
    column = snapshot.items[name]
    return column if snapshot.live.all() else column.filter(pa.array(snapshot.live))


def _facet(column: pa.ChunkedArray) -> dict[str, Any]:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    facet: dict[str, Any] = {"type": str(column.type)}
    distinct = pc.unique(column).drop_null()
    if len(distinct) <= MOST_VALUES:
        return {**facet, "values": sorted(distinct.to_pylist())}
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return facet
    return {**facet, **pc.min_max(distinct).as_py()}
