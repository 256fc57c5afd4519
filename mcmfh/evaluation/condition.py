"""The queries and the items that a set of scores is measured on.

Shapes: N items of the table · Q queries · M database items.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.evaluation.ranking import TiedRanking, rank_codes, rank_vectors

# Query-item pairs ranked at a time: the tables of a cosine ranking are as wide as the database.
_CELLS = 500_000


@dataclass(frozen=True)
class Condition:
    """Labelled queries against labelled items, under one protocol, in one direction, in one database.

    Whether an item without labels is relevant is unknown, so it is neither query nor database item. A query's own study
    is never in its database.
    """

    name: tuple[str, str, str]  # protocol, direction, database
    table: EmbeddingTable
    asked: np.ndarray  # uint8[N, bits/8], or float[N, D] with bits None
    stored: np.ndarray
    bits: int | None
    query: np.ndarray  # int64[Q]: positions in the table
    rows: np.ndarray  # int64[M]
    unlabelled: tuple[int, int]  # queries and items that were left out

    @classmethod
    def of(
        cls,
        name: tuple[str, str, str],
        table: EmbeddingTable,
        codes: tuple[np.ndarray, np.ndarray],
        bits: int | None,
        query: np.ndarray,
        rows: np.ndarray,
    ) -> Self | None:
        """The condition with `query` and `rows` as far as they have labels; None where nothing is left of one.

        `codes`: of the queries and of the items, each with one row an item of the table.
        """
        labelled = [each[table.labelled[each]] for each in (query, rows)]
        left_out = len(query) - len(labelled[0]), len(rows) - len(labelled[1])
        whole = all(len(each) for each in labelled)
        return cls(name, table, codes[0], codes[1], bits, labelled[0], labelled[1], left_out) if whole else None

    def blocks(self, all_codes_at_once: bool = False) -> Iterator[np.ndarray]:
        """The queries in blocks that bound the memory of a table of query-item pairs."""
        cells = len(self.query) * len(self.rows)
        yield from np.array_split(self.query, 1 if all_codes_at_once and self.bits else -(-cells // _CELLS))

    def rankings(self, labels: np.ndarray) -> Iterator[TiedRanking]:
        """The rankings of all queries, where relevant = shares a column of labels bool[N, ·]."""
        for part in self.blocks(all_codes_at_once=True):
            arguments = self.asked[part], self.stored[self.rows], labels[part], labels[self.rows]
            own = self.table.study[part], self.table.study[self.rows]
            yield rank_codes(*arguments, self.bits, own=own) if self.bits else rank_vectors(*arguments, own=own)
