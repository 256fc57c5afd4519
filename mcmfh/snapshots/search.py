"""Exact search in a snapshot: targets image, report and study, filters, and queries of one modality or of both.

Order is (distance, row) for items and (distance, first row) for studies; k hits come back whenever k exist.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from heapq import merge
from itertools import groupby
from operator import itemgetter
from typing import Any, Literal

import numpy as np
import pyarrow.compute as pc

from mcmfh.errors import InputError
from mcmfh.hamming import HammingIndex
from mcmfh.snapshots.reading import Snapshot
from mcmfh.snapshots.shards import code_column

Target = Literal["report", "image", "study"]


@dataclass(frozen=True)
class Hits:
    """The answer: rows of the snapshot and their Hamming distances, nearest first."""

    rows: np.ndarray  # int64[≤ k]
    distances: np.ndarray  # int32[≤ k]


def search(
    snapshot: Snapshot,
    query: Mapping[str, np.ndarray],
    k: int,
    target: Target,
    bits: int,
    max_distance: int | None = None,
    where: Mapping[str, Any] | None = None,
) -> Hits:
    """The k nearest items (or studies, each as its nearest member) to a query.

    query: modality → uint8[bits/8]; with two codes the ranking is by the sum of both distances. where: see `allowed`.
    Raises InputError for an unknown target, filter column or code length.
    """
    if k < 1:
        raise InputError(f"k cannot be {k}; ask for at least 1")
    if target not in ("report", "image", "study"):
        raise InputError(f"target '{target}' is not known; use report, image or study")
    if bits not in snapshot.bits:
        raise InputError(f"the archive has no {bits}-bit codes; it has {', '.join(map(str, snapshot.bits))}")
    mask = allowed(snapshot, where) if where else None
    codes = np.stack(list(query.values()))
    modalities = ("image", "report") if target == "study" else (target,)
    columns = [code_column(modality, bits) for modality in modalities]
    if target == "study":
        hits = _studies(snapshot, columns, codes, k, mask)
    else:
        hits = _items(snapshot, columns[0], codes, k, mask)
    if max_distance is not None:
        near = hits.distances <= max_distance
        hits = Hits(hits.rows[near], hits.distances[near])
    return hits


def allowed(snapshot: Snapshot, where: Mapping[str, Any]) -> np.ndarray:
    """bool[rows]: rows that pass every condition.

    A condition is a value (equal), a list (one of), or {"min": a, "max": b} (either may be left out, both inclusive).
    Raises InputError for a column that is not declared as a filter, or a condition that does not fit its type.
    """
    mask = np.array(snapshot.live)
    for column, condition in where.items():
        if column not in snapshot.document["filters"]:
            known = ", ".join(snapshot.document["filters"]) or "none"
            raise InputError(f"'{column}' is not a filter of this archive; declared filters: {known}")
        values = snapshot.items[column]
        try:
            if isinstance(condition, Mapping):
                if not condition or set(condition) - {"min", "max"}:
                    raise InputError(f"the range for filter '{column}' needs min, max or both, and nothing else")
                for bound, compare in (("min", pc.greater_equal), ("max", pc.less_equal)):
                    if bound in condition:
                        mask &= _mask(compare(values, condition[bound]))
            elif isinstance(condition, (list, tuple)):
                mask &= np.logical_or.reduce(
                    [np.zeros(len(mask), bool), *(_mask(pc.equal(values, c)) for c in condition)]
                )
            else:
                mask &= _mask(pc.equal(values, condition))
        except (pc.pa.ArrowException, TypeError) as error:
            raise InputError(f"the condition on filter '{column}' does not fit its type {values.type}") from error
    return mask


def _mask(result: Any) -> np.ndarray:
    return pc.fill_null(result, False).to_numpy(zero_copy_only=False)


def _items(snapshot: Snapshot, column: str, codes: np.ndarray, k: int, mask: np.ndarray | None) -> Hits:
    index = snapshot.indexes[column]
    if len(codes) > 1:
        rows, distances = _summed(index, codes, mask)
        return Hits(rows[:k], distances[:k])
    distances, rows = index.search(codes, k, allowed=_of_index(index, mask))
    found = rows[0] >= 0
    return Hits(rows[0][found], distances[0][found])


def _of_index(index: HammingIndex, mask: np.ndarray | None) -> np.ndarray | None:
    """A mask over the snapshot's rows as one over the rows of an index."""
    return None if mask is None else mask[index.ids]


def _summed(index: HammingIndex, codes: np.ndarray, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """All (rows, distances) of an index in order of the summed distance to several query codes."""
    total = np.zeros(0, np.int32)
    rows = np.zeros(0, np.int64)
    for code in codes:
        distances, found = index.within(code, index.bits, allowed=_of_index(index, mask))
        by_row = np.argsort(found)
        rows = found[by_row]
        total = total + distances[by_row] if len(total) else distances[by_row]
    order = np.lexsort((rows, total))
    return rows[order], total[order]


def _rings(index: HammingIndex, codes: np.ndarray, mask: np.ndarray | None) -> Iterator[tuple[int, np.ndarray]]:
    """(distance, its rows) by growing distance."""
    if len(codes) == 1:
        yield from index.rings(codes[0], allowed=_of_index(index, mask))
        return
    rows, distances = _summed(index, codes, mask)
    for distance in np.unique(distances):
        yield int(distance), rows[distances == distance]


def _studies(snapshot: Snapshot, columns: list[str], codes: np.ndarray, k: int, mask: np.ndarray | None) -> Hits:
    """Walk outwards through both modalities at once; a study counts where its first member is met."""
    met: dict[str, tuple[int, int]] = {}
    rings = [_rings(snapshot.indexes[column], codes, mask) for column in columns]
    for distance, group in groupby(merge(*rings, key=itemgetter(0)), key=itemgetter(0)):
        rows = np.unique(np.concatenate([found for _, found in group]))
        for row, study in zip(rows.tolist(), snapshot.items["study_id"].take(rows).to_pylist()):
            met.setdefault(study, (row, distance))
        if len(met) >= k:
            break
    nearest = np.array(list(met.values())[:k], np.int64).reshape(-1, 2)
    return Hits(nearest[:, 0], nearest[:, 1].astype(np.int32))
