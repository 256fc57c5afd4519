"""Iterative quantisation: the rotation of a real-valued common space whose signs lose the least (Gong & Lazebnik 2011).

Joint: both modalities share one centre, one PCA and one rotation, because matching items must get equal signs.
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

    def rotated(self, table: EmbeddingTable) -> dict[str, np.ndarray]:
        """float[N, K] by modality, whose signs are the codes."""
        return {name: (vectors - self.centre) @ self.weight for name, vectors in zip(MODALITIES, self.space(table))}

    def hash(self, table: EmbeddingTable) -> dict[str, np.ndarray]:
        return {name: pack_codes(values) for name, values in self.rotated(table).items()}


def joint_itq(space: Space, train: EmbeddingTable, bits: int, seed: int) -> RotatedSpace:
    """PCA to `bits` dimensions and the ITQ rotation, fitted on the stacked vectors of the train pairs."""
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
