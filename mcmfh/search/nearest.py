"""Exact search in a snapshot: targets image, report and study, filters, and queries of one modality or of both.

Order is (distance, row) for items and (distance, first row) for studies; k hits come back whenever k exist. Answers of
several parts of a snapshot merge into the answer of the whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mcmfh.archive.modality import MODALITIES
from mcmfh.errors import InputError
from mcmfh.hamming import HammingIndex
from mcmfh.search.masks import allowed, key_of
from mcmfh.search.opening import Snapshot
from mcmfh.search.scan import distance_counts, nearest_by_sum
from mcmfh.snapshots.shards import code_column

Target = Literal["report", "image", "study"]
FEW = 16


@dataclass(frozen=True)
class Hits:
    """The answer: rows of the snapshot and their Hamming distances, nearest first."""

    rows: np.ndarray  # int64 [≤ k]
    distances: np.ndarray  # int32 [≤ k]
    studies: tuple[str, ...] | None = None  # of each hit, where the target is study


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
    codes, columns = _asked(snapshot, query, target, bits)
    if where:
        allowed(snapshot, where)  # what is wrong with it is said whatever the archive holds
    radius = len(codes) * bits if max_distance is None else max_distance
    if target != "study":
        return Hits(*_nearest(snapshot, columns[0], codes, k, radius, where))
    return _studies(snapshot, columns, codes, k, radius, where)


def histogram(
    snapshot: Snapshot,
    query: Mapping[str, np.ndarray],
    target: Target,
    bits: int,
    where: Mapping[str, Any] | None = None,
) -> np.ndarray:
    """int64 [len(query) · bits + 1]: items (for studies: of both modalities) that pass `where`, by their distance."""
    codes, columns = _asked(snapshot, query, target, bits)
    mask = allowed(snapshot, where) if where else None
    return np.sum([distance_counts(snapshot, column, codes, mask) for column in columns], axis=0)


def merged(answers: Sequence[Hits], k: int) -> Hits:
    """The answer of the whole from the answers of its parts, whose rows must be the whole's."""
    if len(answers) == 1:
        return answers[0]
    rows = np.concatenate([answer.rows for answer in answers])
    distances = np.concatenate([answer.distances for answer in answers])
    order = np.lexsort((rows, distances))
    if any(answer.studies is None for answer in answers):
        return Hits(rows[order[:k]], distances[order[:k]])
    return _first_of_each([name for answer in answers for name in answer.studies or ()], rows, distances, order, k)


def _asked(snapshot: Snapshot, query: Mapping[str, np.ndarray], target: str, bits: int) -> tuple[np.ndarray, list[str]]:
    """uint8 [1 or 2, bits/8] and the names of the code columns to look in."""
    if target not in ("report", "image", "study"):
        raise InputError(f"target '{target}' is not known; use report, image or study")
    if bits not in snapshot.bits:
        raise InputError(f"the archive has no {bits}-bit codes; it has {', '.join(map(str, snapshot.bits))}")
    modalities = MODALITIES if target == "study" else (target,)
    return np.stack(list(query.values())), [code_column(modality, bits) for modality in modalities]


def _nearest(
    snapshot: Snapshot, column: str, codes: np.ndarray, k: int, radius: int, where: Mapping[str, Any] | None
) -> tuple[np.ndarray, np.ndarray]:
    """(rows, distances) of the k least (distance, row)."""
    mask = allowed(snapshot, where) if where else None
    # Among rows that hardly ever pass, the index would walk on and on.
    if len(codes) > 1 or (mask is not None and np.count_nonzero(mask) < FEW * k):
        return nearest_by_sum(snapshot, column, codes, k, radius, mask)
    index = snapshot.indexes[column]
    mask = _of_index(snapshot, column, index, where) if where else None
    distances, rows = index.search(codes, k, allowed=mask, radius=radius)
    found = int(np.count_nonzero(rows[0] >= 0))
    return rows[0, :found], distances[0, :found]


def _of_index(snapshot: Snapshot, column: str, index: HammingIndex, where: Mapping[str, Any]) -> np.ndarray:
    """The mask over the snapshot's rows as one over the rows of an index."""
    if len(index) == len(snapshot.items):
        return allowed(snapshot, where)
    return snapshot.masks.get((key_of(where), column), lambda: allowed(snapshot, where)[index.ids])


def _studies(
    snapshot: Snapshot,
    columns: list[str],
    codes: np.ndarray,
    k: int,
    radius: int,
    where: Mapping[str, Any] | None,
) -> Hits:
    """The items nearest in either modality, more and more of them, until they are of k studies."""
    items = 2 * k
    while True:
        answers = [_nearest(snapshot, column, codes, items, radius, where) for column in columns]
        rows = np.concatenate([rows for rows, _ in answers])
        distances = np.concatenate([distances for _, distances in answers])
        order = np.lexsort((rows, distances))
        cut = [(found[-1], at[-1]) for at, found in answers if len(at) == items]
        if cut:  # beyond the last of an answer that goes on, something may be missing
            order = order[_before(distances[order], rows[order], *min(cut))]
        names = {row: snapshot.items.value("study_id", row) for row in set(rows[order].tolist())}
        hits = _first_of_each([names.get(row, "") for row in rows.tolist()], rows, distances, order, k)
        if len(hits.rows) == k or not cut:
            return hits
        items *= 4


def _before(distances: np.ndarray, rows: np.ndarray, distance: int, row: int) -> np.ndarray:
    """bool: (distance, row) up to and including the given one."""
    return (distances < distance) | ((distances == distance) & (rows <= row))


def _first_of_each(studies: list[str], rows: np.ndarray, distances: np.ndarray, order: np.ndarray, k: int) -> Hits:
    """The first k distinct studies when walking in `order`."""
    met: dict[str, int] = {}
    for at in order.tolist():
        met.setdefault(studies[at], at)
        if len(met) == k:
            break
    chosen = np.array(list(met.values()), np.int64)
    return Hits(rows[chosen], distances[chosen], tuple(met))
