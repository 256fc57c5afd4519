"""Layout `sharded`: parts of a snapshot in several processes, their answers merged. No Ray here, only `ask`.

Every question names its snapshot and every part keeps two, so an answer is of one snapshot even while the parts go
over to the next one at different moments. A part that is started anew opens what it is asked for.
"""

import threading
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from mcmfh.search.facets import Facet, combined
from mcmfh.search.nearest import Hits, merged
from mcmfh.search.opening import latest, open_snapshot, parted
from mcmfh.search.source import Local, Question
from mcmfh.snapshots.document import read_snapshot

Call = tuple[int, str, tuple]  # the part, the Source method, its arguments
Ask = Callable[[int, Sequence[Call]], list[Any]]  # snapshot number, calls → their results, in order


class Part:
    """The `part`-th of `parts` parts of an archive's snapshots, of which two are kept open."""

    def __init__(self, root: str, part: int, parts: int):
        self.root, self.part, self.parts = root, part, parts
        self.kept: dict[int, Local] = {}
        self.opening = threading.Lock()

    def ask(self, number: int, method: str, arguments: tuple) -> Any:
        """What `method` of the Source of snapshot `number` gives."""
        return getattr(self.opened(number), method)(*arguments)

    def opened(self, number: int) -> Local:
        if (found := self.kept.get(number)) is None:
            with self.opening:
                if (found := self.kept.get(number)) is None:
                    found = Local(open_snapshot(self.root, number, part=self.part, parts=self.parts))
                    self.kept = {**dict(sorted(self.kept.items())[-1:]), number: found}
        return found


class Spread:
    """A Source whose parts are asked through `ask`, at once."""

    def __init__(self, root: str, number: int | None, parts: int, ask: Ask):
        """Snapshot `number` (default: the newest). Returns once every part has opened it."""
        if number is None:
            number, self.document = latest(root)
        else:
            self.document = read_snapshot(root, number)
        self.number, self.digest, self.ask = number, self.document.digest, ask
        rows = [shard.rows for shard in self.document.shards]
        before = [0, *accumulate(rows)]
        self.ends = [before[shards.stop] for shards in parted(rows, parts)]
        self.item("")

    def find(self, question: Question) -> Hits:
        return merged(self._all("find", question), question.k)

    def counts(self, question: Question) -> np.ndarray:
        return np.sum(self._all("counts", question), axis=0)

    def shown(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        return self._of_owners("shown", rows)

    def codes(self, rows: Sequence[int], column: str) -> list[bytes]:
        return self._of_owners("codes", rows, column)

    def item(self, item_id: str) -> dict[str, Any] | None:
        return next((item for item in self._all("item", item_id) if item is not None), None)

    def facets(self) -> dict[str, Facet]:
        answers = self._all("facets")
        return {name: combined([answer[name] for answer in answers]) for name in self.document.filters}

    def _all(self, method: str, *arguments: Any) -> list[Any]:
        return self.ask(self.number, [(part, method, arguments) for part in range(len(self.ends))])

    def _of_owners(self, method: str, rows: Sequence[int], *arguments: Any) -> list[Any]:
        """What the parts that hold `rows` say of each."""
        places = [bisect_right(self.ends, row) for row in rows]
        owners = sorted(set(places))
        theirs = {owner: [row for row, place in zip(rows, places) if place == owner] for owner in owners}
        answers = self.ask(self.number, [(owner, method, (theirs[owner], *arguments)) for owner in owners])
        of_row = {row: one for owner, answer in zip(owners, answers) for row, one in zip(theirs[owner], answer)}
        return [of_row[row] for row in rows]
