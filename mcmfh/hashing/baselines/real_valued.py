"""Cosine in a real-valued space, the ceiling for hashing of that space."""

from dataclasses import dataclass

import numpy as np

from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.evaluation.hasher import Hasher
from mcmfh.hashing.baselines.cca import canonical_space
from mcmfh.hashing.baselines.contrastive import contrastive_space
from mcmfh.hashing.baselines.itq import Space


@dataclass(frozen=True)
class RealValued:
    """`hash` gives the vectors themselves; evaluate them with bits None."""

    space: Space

    def hash(self, table: EmbeddingTable) -> dict[str, np.ndarray]:
        image, report = self.space(table)
        return {"image": image, "report": report}


@dataclass(frozen=True)
class CcaCosine:
    dimensions: int = 8
    name: str = "cosine, CCA-8"
    supervised: bool = False

    def fit(self, train: EmbeddingTable, bits: int, seed: int) -> Hasher:
        return RealValued(canonical_space(train, self.dimensions))


@dataclass(frozen=True)
class ContrastiveCosine:
    name: str = "cosine, contrastive"
    supervised: bool = False

    def fit(self, train: EmbeddingTable, bits: int, seed: int) -> Hasher:
        return RealValued(contrastive_space(train, seed))
