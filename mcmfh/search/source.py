"""What answers queries: a snapshot mapped in this process, or (see `shards`) one whose parts are mapped elsewhere."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import numpy as np

from mcmfh.search.facets import Facet, facets
from mcmfh.search.nearest import Hits, Target, histogram, search
from mcmfh.search.opening import Snapshot
from mcmfh.snapshots.document import SnapshotDocument


class Question(NamedTuple):
    """A query as the snapshot is asked it; see `snapshots.search.search`."""

    codes: Mapping[str, np.ndarray]
    k: int
    target: Target
    bits: int
    max_distance: int | None = None
    where: Mapping[str, Any] | None = None


class Source(Protocol):
    """One snapshot that can be asked. Rows are the whole snapshot's."""

    number: int
    digest: str
    document: SnapshotDocument

    def find(self, question: Question) -> Hits: ...
    def counts(self, question: Question) -> np.ndarray:
        """int64: how many items that pass the filters lie at each distance."""

    def shown(self, rows: Sequence[int]) -> list[dict[str, Any]]: ...
    def codes(self, rows: Sequence[int], column: str) -> list[bytes]: ...
    def item(self, item_id: str) -> dict[str, Any] | None: ...
    def facets(self) -> dict[str, Facet]: ...


class Local:
    """A mapped snapshot, or a part of one, as a Source."""

    def __init__(self, snapshot: Snapshot):
        self.snapshot = snapshot
        self.number, self.digest, self.document = snapshot.number, snapshot.digest, snapshot.document

    def find(self, question: Question) -> Hits:
        hits = search(self.snapshot, *question)
        return replace(hits, rows=hits.rows + self.snapshot.first) if self.snapshot.first else hits

    def counts(self, question: Question) -> np.ndarray:
        return histogram(self.snapshot, question.codes, question.target, question.bits, question.where)

    def shown(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        return self.snapshot.shown([row - self.snapshot.first for row in rows])

    def codes(self, rows: Sequence[int], column: str) -> list[bytes]:
        return [self.snapshot.code(row - self.snapshot.first, column) for row in rows]

    def item(self, item_id: str) -> dict[str, Any] | None:
        row = self.snapshot.row(item_id)
        return None if row is None else self.snapshot.shown([row])[0]

    def facets(self) -> dict[str, Facet]:
        return facets(self.snapshot)
