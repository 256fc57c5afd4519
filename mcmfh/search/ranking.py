"""What is asked of a snapshot: codes, and how to rank. The same ask of the same snapshot gives the same hits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mcmfh.hamming import rerank_by_logits
from mcmfh.search.masks import both
from mcmfh.search.nearest import Hits, Target
from mcmfh.search.query import FOCUS
from mcmfh.search.source import CodeQuery, Source
from mcmfh.snapshots.shards import code_column

FOCUS_WEIGHT = 1.0  # of the focus beside the query
SHORTLIST = 400  # hits beside those asked for, from which re-ranking chooses


@dataclass(frozen=True)
class Ask:
    """codes: modality → uint8[bits/8]. rerank: the code length to re-rank by, or None.

    logits: modality, or focus → float32[rerank] of the query; {} without re-ranking. scope: conditions that hold beside
    `where`.
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


def focused(query: Mapping[str, np.ndarray], focus: np.ndarray) -> dict[str, np.ndarray]:
    """Logits by name, float32[bits], to re-rank a query by what it shows and by a phrase: FOCUS_WEIGHT to 1.

    All are brought to unit length first, because a phrase of few words may have larger logits than a picture.
    """
    parts = {name: (1.0, logits) for name, logits in query.items()} | {FOCUS: (FOCUS_WEIGHT, focus)}
    return {
        name: (logits * np.float32(weight / max(float(np.linalg.norm(logits)), 1e-12))).astype(np.float32)
        for name, (weight, logits) in parts.items()
    }


def ranked(source: Source, ask: Ask) -> tuple[Hits, Sequence[float | None]]:
    """(the hits, their scores: None without re-ranking).

    A hit's score says how well its stored code of `rerank` bits agrees with the sum of the logits.
    """
    hits = source.hits(ask.code_query)
    if ask.rerank is None:
        return hits, [None] * len(hits.rows)
    stored = source.codes(hits.rows.tolist(), code_column(ask.target, ask.rerank))
    column = np.frombuffer(b"".join(stored), np.uint8).reshape(-1, ask.rerank // 8)
    # In the order of their names: a replayed receipt may hold them in another one, and sums of three would differ.
    summed = np.stack([values for _, values in sorted(ask.logits.items())]).sum(axis=0, keepdims=True)
    scores, order = rerank_by_logits(np.arange(len(column))[None], summed, column)
    chosen = order[0, : ask.k]
    return Hits(hits.rows[chosen], hits.distances[chosen]), scores[0, : ask.k].tolist()
