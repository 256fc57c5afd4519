"""A snapshot that answers queries: mapped in this process, or in parts by other processes (see `sharding`)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import numpy as np

from mcmfh.search.facets import Facet, snapshot_facets
from mcmfh.search.masks import Where
from mcmfh.search.nearest import Hits, Target, distance_histogram, nearest_hits
from mcmfh.search.opening import Snapshot
from mcmfh.snapshots.document import SnapshotDocument


class CodeQuery(NamedTuple):
    """A query whose codes have been computed: the arguments of `nearest.nearest_hits`."""

    codes: Mapping[str, np.ndarray]
    k: int
    target: Target
    bits: int
    max_distance: int | None = None
    where: Where | None = None


class Source(Protocol):
    """One snapshot that answers queries. All rows are rows of the whole snapshot."""

    number: int
    digest: str
    document: SnapshotDocument

    def hits(self, query: CodeQuery) -> Hits: ...
    def histogram(self, query: CodeQuery) -> np.ndarray:
        """int64: the number of items at each distance, of those that pass the filters."""

    def items(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        """All columns of each row."""

    def codes(self, rows: Sequence[int], column: str) -> list[bytes]:
        """The stored code of each row in a code column."""

    def item(self, item_id: str, where: Where | None = None) -> dict[str, Any] | None:
        """All columns of an item; None where there is none that meets `where`."""

    def facets(self, where: Where | None = None) -> dict[str, Facet]:
        """Of the items that meet `where`."""

    def count(self, where: Where) -> int:
        """The number of items that meet `where`."""

    def damaged(self) -> list[str]:
        """Names of cached files that were changed since they were verified."""


class LocalSource:
    """A snapshot mapped in this process, or a part of one, as a Source."""

    def __init__(self, snapshot: Snapshot):
        self.snapshot = snapshot
        self.number, self.digest, self.document = snapshot.number, snapshot.digest, snapshot.document

    def hits(self, query: CodeQuery) -> Hits:
        hits = nearest_hits(self.snapshot, *query)
        return replace(hits, rows=hits.rows + self.snapshot.first) if self.snapshot.first else hits

    def histogram(self, query: CodeQuery) -> np.ndarray:
        return distance_histogram(self.snapshot, query.codes, query.target, query.bits, query.where)

    def items(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        return self.snapshot.shown([row - self.snapshot.first for row in rows])

    def codes(self, rows: Sequence[int], column: str) -> list[bytes]:
        return [self.snapshot.code(row - self.snapshot.first, column) for row in rows]

    def item(self, item_id: str, where: Where | None = None) -> dict[str, Any] | None:
        row = self.snapshot.row(item_id)
        if row is None or (where and not self.snapshot.row_filter.mask(where)[row]):
            return None
        return self.snapshot.shown([row])[0]

    def facets(self, where: Where | None = None) -> dict[str, Facet]:
        return snapshot_facets(self.snapshot, where or {})

    def count(self, where: Where) -> int:
        return int(np.count_nonzero(self.snapshot.row_filter.mask(where)))

    def damaged(self) -> list[str]:
        return self.snapshot.damaged()
