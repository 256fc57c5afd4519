"""LSH: signs of random projections of the canonical space (Charikar 2002). Nothing but CCA is fitted."""

from dataclasses import dataclass

import numpy as np

from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.evaluation.hasher import Hasher
from mcmfh.hashing.baselines.cca import canonical_space
from mcmfh.hashing.baselines.itq import RotatedSpace


@dataclass(frozen=True)
class Lsh:
    dimensions: int = 64
    name: str = "LSH on CCA"
    supervised: bool = False

    def fit(self, train: EmbeddingTable, bits: int, seed: int) -> Hasher:
        space = canonical_space(train, self.dimensions)
        centre = np.concatenate(space(train.select(train.paired))).mean(0)
        return RotatedSpace(space, centre, np.random.default_rng(seed).standard_normal((len(centre), bits)))
