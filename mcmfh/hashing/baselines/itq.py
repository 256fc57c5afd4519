"""Iterative quantisation: the rotation of a real-valued common space whose signs lose the least (Gong & Lazebnik 2011).

Joint: one centre, one PCA and one rotation for both modalities, for they must fall into the same orthants.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mcmfh.archive.modality import MODALITIES
from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.errors import InputError
from mcmfh.evaluation.hasher import Hasher
from mcmfh.hashing.baselines.cca import canonical_space
from mcmfh.hashing.codes import pack_codes
from mcmfh.hashing.itq import rotation

Space = Callable[[EmbeddingTable], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class RotatedSpace:
    """A real-valued space whose signs, after a linear map, are the codes."""

    space: Space
    centre: np.ndarray  # float[d]
    weight: np.ndarray  # float[d, K]

    def logits(self, table: EmbeddingTable) -> dict[str, np.ndarray]:
        """Before the sign: float[N, K] by modality."""
        return {name: (vectors - self.centre) @ self.weight for name, vectors in zip(MODALITIES, self.space(table))}

    def hash(self, table: EmbeddingTable) -> dict[str, np.ndarray]:
        return {name: pack_codes(logits) for name, logits in self.logits(table).items()}


def joint_itq(space: Space, train: EmbeddingTable, bits: int, seed: int) -> RotatedSpace:
    """PCA to `bits` dimensions and the ITQ rotation, of the stacked image and report vectors of the training pairs."""
    vectors = np.concatenate(space(train.select(train.paired)))
    if vectors.shape[1] < bits:
        raise InputError(f"{bits} bits need a common space of at least {bits} dimensions, not {vectors.shape[1]}")
    centre = vectors.mean(0)
    # Principal axes from the small covariance: an SVD of all rows costs seconds.
    _, axes = np.linalg.eigh((vectors - centre).T @ (vectors - centre))
    axes = axes.T[::-1]
    return RotatedSpace(space, centre, axes[:bits].T @ rotation((vectors - centre) @ axes[:bits].T, seed))


@dataclass(frozen=True)
class CcaItq:
    """Joint ITQ on the canonical space: no training loop, no labels, seconds."""

    dimensions: int = 64
    name: str = "CCA-ITQ"
    supervised: bool = False

    def fit(self, train: EmbeddingTable, bits: int, seed: int) -> Hasher:
        return joint_itq(canonical_space(train, max(self.dimensions, bits)), train, bits, seed)
