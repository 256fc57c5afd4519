"""Ridge CCA: the linear common space of images and reports, in closed form and without labels."""

from dataclasses import dataclass

import numpy as np

from mcmfh.encoders.table import EmbeddingTable
from mcmfh.hashing.baselines.base import Pairs, unit

# Share of the mean variance added to the diagonal of each covariance; pictures need more of it than texts.
IMAGE_RIDGE, REPORT_RIDGE = 0.3, 0.05


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
    """CCA of the training pairs (Hotelling 1936): W = L⁻ᵀU with L the Cholesky factor of each ridged covariance and
    U, σ, V the SVD of L_I⁻¹ C_IT L_T⁻ᵀ."""
    pairs = Pairs.of(train)
    image, report = pairs.image.astype(np.float64), pairs.report.astype(np.float64)
    left, right = _factor(image, IMAGE_RIDGE), _factor(report, REPORT_RIDGE)
    cross = np.linalg.solve(left, image.T @ report / len(image))
    u, correlation, v = np.linalg.svd(np.linalg.solve(right, cross.T).T, full_matrices=False)
    keep = slice(0, min(dimensions, len(correlation)))
    return CommonSpace(
        pairs,
        np.linalg.solve(left.T, u[:, keep]) * correlation[keep],
        np.linalg.solve(right.T, v[keep].T) * correlation[keep],
    )


def _factor(rows: np.ndarray, ridge: float) -> np.ndarray:
    covariance = rows.T @ rows / len(rows)
    width = len(covariance)
    return np.linalg.cholesky(covariance + ridge * np.trace(covariance) / width * np.eye(width))
