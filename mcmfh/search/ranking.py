"""What is asked of a snapshot: codes, and how to rank. The same ask of the same snapshot gives the same hits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mcmfh.hamming import rerank_by_logits
from mcmfh.search.masks import both
from mcmfh.search.nearest import Hits, Target
from mcmfh.search.source import CodeQuery, Source
from mcmfh.snapshots.shards import code_column

SHORTLIST = 400  # hits beside those asked for, from which re-ranking chooses


@dataclass(frozen=True)
class Ask:
    """codes: modality → uint8[bits/8]. rerank: the code length to re-rank by, or None.

    logits: modality → float32[rerank] of the query; {} without re-ranking. scope: conditions that hold beside `where`.
    """

    codes: Mapping[str, np.ndarray]
    k: int
    target: Target
    bits: int
    max_distance: int | None
    where: Mapping[str, Any]
    rerank: int | None
    logits: Mapping[str, np.ndarray]
    scope: Mapping[str, Any] = field(default_factory=dict)

    @property
    def code_query(self) -> CodeQuery:
        """What the index is asked for: with re-ranking the shortlist."""
        k = self.k if self.rerank is None else SHORTLIST + self.k
        return CodeQuery(self.codes, k, self.target, self.bits, self.max_distance, both(self.scope, self.where))


def ranked(source: Source, ask: Ask) -> tuple[Hits, Sequence[float | None]]:
    """(the hits, their scores: None without re-ranking).

    A hit's score says how well its stored code of `rerank` bits agrees with the logits.
    """
    hits = source.hits(ask.code_query)
    if ask.rerank is None:
        return hits, [None] * len(hits.rows)
    stored = source.codes(hits.rows.tolist(), code_column(ask.target, ask.rerank))
    column = np.frombuffer(b"".join(stored), np.uint8).reshape(-1, ask.rerank // 8)
    summed = np.stack(list(ask.logits.values())).sum(axis=0, keepdims=True)
    scores, order = rerank_by_logits(np.arange(len(column))[None], summed, column)
    chosen = order[0, : ask.k]
    return Hits(hits.rows[chosen], hits.distances[chosen]), scores[0, : ask.k].tolist()
