"""Exact search in a snapshot: targets image, report and study, filters, and queries of one modality or of both.

Items are ordered by (distance, row), studies by (distance, first row). An answer holds k hits whenever k exist. The
hits of several parts of a snapshot merge into the hits of the whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mcmfh.archive.modality import MODALITIES
from mcmfh.errors import InputError
from mcmfh.hamming import HammingIndex
from mcmfh.search.masks import Where
from mcmfh.search.opening import Snapshot
from mcmfh.search.scan import distance_counts, nearest_by_sum
from mcmfh.snapshots.shards import code_column

Target = Literal["report", "image", "study"]
# With fewer passing rows than this for each hit, a scan is faster than the index.
SCAN_BELOW = 16


@dataclass(frozen=True)
class Hits:
    """Rows of the snapshot and their Hamming distances, nearest first."""

    rows: np.ndarray  # int64 [≤ k]
    distances: np.ndarray  # int32 [≤ k]
    studies: tuple[str, ...] | None = None  # of each hit, where the target is study


def nearest_hits(
    snapshot: Snapshot,
    query: Mapping[str, np.ndarray],
    k: int,
    target: Target,
    bits: int,
    max_distance: int | None = None,
    where: Where | None = None,
) -> Hits:
    """The k nearest items to a query, or the k nearest studies, each as its nearest member.

    query: modality → uint8[bits/8]; with two codes the ranking is by the sum of both distances. where: see
    `RowFilter.mask`. Raises InputError for an unknown target, filter column or code length.
    """
    if k < 1:
        raise InputError(f"k cannot be {k}; ask for at least 1")
    codes, columns = _codes_and_columns(snapshot, query, target, bits)
    if where:
        snapshot.row_filter.mask(where)  # a faulty condition is refused even where no column holds a code
    radius = len(codes) * bits if max_distance is None else max_distance
    if target != "study":
        return Hits(*_nearest_items(snapshot, columns[0], codes, k, radius, where))
    return _nearest_studies(snapshot, columns, codes, k, radius, where)


def distance_histogram(
    snapshot: Snapshot,
    query: Mapping[str, np.ndarray],
    target: Target,
    bits: int,
    where: Where | None = None,
) -> np.ndarray:
    """int64 [len(query) · bits + 1]: the number of items that meet `where`, by their distance.

    For target study, items of both modalities are counted.
    """
    codes, columns = _codes_and_columns(snapshot, query, target, bits)
    mask = snapshot.row_filter.mask(where) if where else snapshot.live
    counts = [distance_counts(snapshot.codes, column, codes, mask) for column in columns]
    return np.asarray(np.sum(counts, axis=0))


def merged_hits(parts: Sequence[Hits], k: int) -> Hits:
    """The hits of the whole from those of its parts. Rows count from the start of the whole."""
    if len(parts) == 1:
        return parts[0]
    rows = np.concatenate([part.rows for part in parts])
    distances = np.concatenate([part.distances for part in parts])
    order = np.lexsort((rows, distances))
    if any(part.studies is None for part in parts):
        return Hits(rows[order[:k]], distances[order[:k]])
    return _first_of_each_study([study for part in parts for study in part.studies or ()], rows, distances, order, k)


def _codes_and_columns(
    snapshot: Snapshot, query: Mapping[str, np.ndarray], target: str, bits: int
) -> tuple[np.ndarray, list[str]]:
    """The query's codes, uint8 [1 or 2, bits/8], and the names of the code columns to search."""
    if target not in ("report", "image", "study"):
        raise InputError(f"target '{target}' is not known; use report, image or study")
    if bits not in snapshot.bits:
        raise InputError(f"the archive has no {bits}-bit codes; it has {', '.join(map(str, snapshot.bits))}")
    modalities = MODALITIES if target == "study" else (target,)
    return np.stack(list(query.values())), [code_column(modality, bits) for modality in modalities]


def _nearest_items(
    snapshot: Snapshot, column: str, codes: np.ndarray, k: int, radius: int, where: Where | None
) -> tuple[np.ndarray, np.ndarray]:
    """(rows, distances) of the k least (distance, row)."""
    mask = snapshot.row_filter.mask(where) if where else None
    # Where hardly any row passes, the index would visit most of its buckets.
    if len(codes) > 1 or (mask is not None and np.count_nonzero(mask) < SCAN_BELOW * k):
        return nearest_by_sum(snapshot.codes, column, codes, k, radius, snapshot.live if mask is None else mask)
    index = snapshot.indexes[column]
    mask = _index_mask(snapshot, column, index, where) if where else None
    distances, rows = index.search(codes, k, allowed=mask, radius=radius)
    count = int(np.count_nonzero(rows[0] >= 0))
    return rows[0, :count], distances[0, :count]


def _index_mask(snapshot: Snapshot, column: str, index: HammingIndex, where: Where) -> np.ndarray:
    """The mask of `where` over the rows of an index, which may hold only some of the snapshot's rows."""
    if len(index) == len(snapshot.items):
        return snapshot.row_filter.mask(where)
    return snapshot.row_filter.index_mask(where, column, index.ids)


def _nearest_studies(
    snapshot: Snapshot,
    columns: list[str],
    codes: np.ndarray,
    k: int,
    radius: int,
    where: Where | None,
) -> Hits:
    """The first k studies among the items nearest in either modality.

    Asks for more and more items until they belong to k studies or no more items exist.
    """
    items = 2 * k
    while True:
        answers = [_nearest_items(snapshot, column, codes, items, radius, where) for column in columns]
        rows = np.concatenate([rows for rows, _ in answers])
        distances = np.concatenate([distances for _, distances in answers])
        order = np.lexsort((rows, distances))
        last = [(d[-1], r[-1]) for r, d in answers if len(r) == items]
        if last:  # a column with further items may have some that come after the last one it returned
            order = order[_up_to(distances[order], rows[order], *min(last))]
        names = {row: snapshot.items.value("study_id", row) for row in set(rows[order].tolist())}
        hits = _first_of_each_study([names.get(row, "") for row in rows.tolist()], rows, distances, order, k)
        if len(hits.rows) == k or not last:
            return hits
        items *= 4


def _up_to(distances: np.ndarray, rows: np.ndarray, distance: int, row: int) -> np.ndarray:
    """bool: whether each (distance, row) comes at or before the given one."""
    return np.asarray((distances < distance) | ((distances == distance) & (rows <= row)))


def _first_of_each_study(
    studies: list[str], rows: np.ndarray, distances: np.ndarray, order: np.ndarray, k: int
) -> Hits:
    """The first k distinct studies in `order`."""
    first: dict[str, int] = {}
    for at in order.tolist():
        first.setdefault(studies[at], at)
        if len(first) == k:
            break
    chosen = np.array(list(first.values()), np.int64)
    return Hits(rows[chosen], distances[chosen], tuple(first))
