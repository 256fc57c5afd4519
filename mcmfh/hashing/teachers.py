"""Teachers: which items are alike, read off the train embeddings without any label.

A contrast with one-hot targets pushes apart two studies of the same finding. A teacher gives every item a guide
vector, and the cosine of two guides says how alike the items should become.
Shapes: N items · D_I, D_T embedding widths · G guide width. Embeddings come standardised.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Cca:
    """Ridge CCA of the train pairs. [D_I, n], [D_T, n] projections and their canonical correlations [n]."""

    image: np.ndarray
    report: np.ndarray
    correlation: np.ndarray


def ridge_cca(image: np.ndarray, report: np.ndarray, ridge_image: float = 0.3, ridge_report: float = 0.05) -> Cca:
    """Canonical directions; each ridge is a share of the mean variance of its side (its trace over its width)."""
    image, report = image.astype(np.float64), report.astype(np.float64)
    n = len(image)
    half = []
    for x, ridge in ((image, ridge_image), (report, ridge_report)):
        covariance = x.T @ x / n
        value, vector = np.linalg.eigh(covariance + ridge * np.trace(covariance) / x.shape[1] * np.eye(x.shape[1]))
        half.append(vector / np.sqrt(value) @ vector.T)
    left, correlation, right = np.linalg.svd(half[0] @ (image.T @ report / n) @ half[1], full_matrices=False)
    return Cca(half[0] @ left, half[1] @ right.T, correlation)


def unit(x: np.ndarray) -> np.ndarray:
    """Rows of length 1 (a zero row stays zero)."""
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def cca_guide(image: np.ndarray, report: np.ndarray, dims: int = 32, power: float = 4.0) -> np.ndarray:
    """float32[N, 2·dims], unit rows: both sides in the canonical space, directions weighted by σ·(σ/σ₁)^power."""
    cca = ridge_cca(image, report)
    dims = min(dims, len(cca.correlation))
    weight = cca.correlation[:dims] * (cca.correlation[:dims] / cca.correlation[0]) ** power
    sides = [unit(image @ cca.image[:, :dims] * weight), unit(report @ cca.report[:, :dims] * weight)]
    return unit(np.concatenate(sides, 1)).astype(np.float32)
