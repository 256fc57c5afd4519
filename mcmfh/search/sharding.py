"""Layout `sharded`: each part of a snapshot is mapped by another process, and their answers are merged.

Ray stays outside: parts are called through an `AskParts` function. Every call names its snapshot, and every part keeps
two snapshots open, so an answer is of one snapshot even while the parts change to the next one at different moments. A
part that was restarted opens the snapshot it is asked about.
"""

import threading
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from mcmfh.search.facets import Facet, merged_facet
from mcmfh.search.masks import Where
from mcmfh.search.nearest import Hits, merged_hits
from mcmfh.search.opening import latest, open_snapshot, split_shards
from mcmfh.search.source import CodeQuery, LocalSource
from mcmfh.snapshots.document import read_snapshot

Call = tuple[int, str, tuple[Any, ...]]  # the part, the Source method, its arguments
AskParts = Callable[[int, Sequence[Call]], list[Any]]  # snapshot number, calls → their results, in order


class SnapshotPart:
    """The `part`-th of `parts` parts of an archive's snapshots, of which two are kept open."""

    def __init__(self, root: str, part: int, parts: int):
        self.root, self.part, self.parts = root, part, parts
        self.sources: dict[int, LocalSource] = {}  # by snapshot number
        self.lock = threading.Lock()

    def call(self, number: int, method: str, arguments: tuple[Any, ...]) -> Any:
        """The result of a Source method of this part of snapshot `number`."""
        return getattr(self._source(number), method)(*arguments)

    def sweep(self) -> list[str]:
        """Names of cached files that were changed; their snapshots are opened anew by the next call."""
        names = {number: source.damaged() for number, source in self.sources.items()}
        with self.lock:
            self.sources = {number: source for number, source in self.sources.items() if not names.get(number)}
        return [name for changed in names.values() for name in changed]

    def _source(self, number: int) -> LocalSource:
        if (source := self.sources.get(number)) is None:
            with self.lock:
                if (source := self.sources.get(number)) is None:
                    source = LocalSource(open_snapshot(self.root, number, part=self.part, parts=self.parts))
                    self.sources = {**dict(sorted(self.sources.items())[-1:]), number: source}
        return source


class ShardedSource:
    """A Source whose parts are called through `ask_parts`, all at once."""

    def __init__(self, root: str, number: int | None, parts: int, ask_parts: AskParts):
        """Snapshot `number` (default: the newest). Returns once every part has opened it."""
        if number is None:
            number, self.document = latest(root)
        else:
            self.document = read_snapshot(root, number)
        self.number, self.digest, self.ask_parts = number, self.document.digest, ask_parts
        rows = [shard.rows for shard in self.document.shards]
        before = [0, *accumulate(rows)]
        self.ends = [before[shards.stop] for shards in split_shards(rows, parts)]
        self.item("")  # makes every part open the snapshot

    def hits(self, query: CodeQuery) -> Hits:
        return merged_hits(self._of_all("hits", query), query.k)

    def histogram(self, query: CodeQuery) -> np.ndarray:
        return np.asarray(np.sum(self._of_all("histogram", query), axis=0))

    def items(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        return self._of_owners("items", rows)

    def codes(self, rows: Sequence[int], column: str) -> list[bytes]:
        return self._of_owners("codes", rows, column)

    def item(self, item_id: str, where: Where | None = None) -> dict[str, Any] | None:
        return next((item for item in self._of_all("item", item_id, where) if item is not None), None)

    def facets(self, where: Where | None = None) -> dict[str, Facet]:
        answers = self._of_all("facets", where)
        return {name: merged_facet([answer[name] for answer in answers]) for name in self.document.filters}

    def count(self, where: Where) -> int:
        return sum(self._of_all("count", where))

    def damaged(self) -> list[str]:
        """Nothing: each part sweeps its own files."""
        return []

    def _of_all(self, method: str, *arguments: Any) -> list[Any]:
        """The result of each part."""
        return self.ask_parts(self.number, [(part, method, arguments) for part in range(len(self.ends))])

    def _of_owners(self, method: str, rows: Sequence[int], *arguments: Any) -> list[Any]:
        """The result for each row, from the part that holds it."""
        owner_of = [bisect_right(self.ends, row) for row in rows]
        owners = sorted(set(owner_of))
        theirs = {owner: [row for row, its in zip(rows, owner_of) if its == owner] for owner in owners}
        answers = self.ask_parts(self.number, [(owner, method, (theirs[owner], *arguments)) for owner in owners])
        of_row = {row: one for owner, answer in zip(owners, answers) for row, one in zip(theirs[owner], answer)}
        return [of_row[row] for row in rows]
