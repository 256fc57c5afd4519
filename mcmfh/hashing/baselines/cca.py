"""Ridge CCA: the linear common space of images and reports, in closed form and without labels."""

from dataclasses import dataclass

import numpy as np

from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.hashing.baselines.base import Pairs
from mcmfh.hashing.teachers import ridge_cca, unit


@dataclass(frozen=True)
class CommonSpace:
    """Projections of both modalities into `dimensions` canonical directions, each scaled by its correlation."""

    pairs: Pairs
    image_weight: np.ndarray  # float[D_I, dimensions]
    report_weight: np.ndarray  # float[D_T, dimensions]

    def __call__(self, table: EmbeddingTable) -> tuple[np.ndarray, np.ndarray]:
        """(image, report): unit vectors float[N, dimensions]."""
        image, report = self.pairs.standardised(table)
        return unit(image @ self.image_weight), unit(report @ self.report_weight)


def canonical_space(train: EmbeddingTable, dimensions: int) -> CommonSpace:
    """The `dimensions` most correlated directions of the training pairs (Hotelling 1936)."""
    pairs = Pairs.of(train)
    cca = ridge_cca(pairs.image, pairs.report)
    weight = cca.correlation[:dimensions]
    return CommonSpace(pairs, cca.image[:, :dimensions] * weight, cca.report[:, :dimensions] * weight)
