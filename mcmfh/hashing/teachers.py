"""Teachers: which items are similar, judged by the train embeddings without labels.

One-hot targets push apart two studies of the same finding. A teacher gives every item a guide vector instead, and the
cosine of two guides says how similar the codes of their items should become.
Shapes: N items · D_I, D_T embedding widths · G guide width. Embeddings come standardised.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Cca:
    """Ridge CCA of the train pairs: projections [D_I, n] and [D_T, n], and their canonical correlations [n]."""

    image: np.ndarray
    report: np.ndarray
    correlation: np.ndarray


def ridge_cca(image: np.ndarray, report: np.ndarray, ridge_image: float = 0.3, ridge_report: float = 0.05) -> Cca:
    """Canonical directions of paired rows; a ridge is given as a share of its side's mean variance (trace / width)."""
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
    units: np.ndarray = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    return units


@dataclass(frozen=True)
class Teacher:
    """One way to compute guide vectors, and the temperature that turns their cosines into targets."""

    name: str
    temperature: float
    # The rest is for CCA teachers; tuned on labelled validation items of one archive, checked on four others.
    ridge_image: float = 0.3
    ridge_report: float = 0.3
    dims: int = 32
    power: float = 3.0
    image_share: float = 0.7

    def guide(self, image: np.ndarray, report: np.ndarray) -> np.ndarray:
        """float32[N, G] unit rows for the train pairs.

        cca, cca_even: both sides in the canonical space, its directions weighted by σ·(σ/σ₁)^power; the image side
        counts `image_share` of the report side. report, image, both: the embeddings themselves.
        """
        sides = [unit(image), unit(report)]
        if self.name.startswith("cca"):
            cca = ridge_cca(image, report, self.ridge_image, self.ridge_report)
            sigma = cca.correlation[: self.dims]
            weight = sigma * (sigma / sigma[0]) ** self.power
            projected = [image @ cca.image[:, : self.dims], report @ cca.report[:, : self.dims]]
            sides = [self.image_share * unit(projected[0] * weight), unit(projected[1] * weight)]
        chosen = {"image": sides[:1], "report": sides[1:]}.get(self.name, sides)
        return unit(np.concatenate(chosen, 1)).astype(np.float32)


TEACHERS = {
    teacher.name: teacher
    for teacher in (
        Teacher("cca", 0.1),
        Teacher("cca_even", 0.1, ridge_report=0.05, power=4.0, image_share=1.0),
        Teacher("both", 0.2),
        Teacher("report", 0.2),
        Teacher("image", 0.2),
    )
}
# The candidates of "auto", the preferred ones first. cca trusts the reports more; cca_even suits reports that say less.
# image is none of them: it always agrees well with itself and teaches little.
CANDIDATES = ("cca", "cca_even", "both", "report")
MARGIN = 0.01  # a difference in agreement below this is a tie, which the preferred candidate wins


def ridge_map(x: np.ndarray, guide: np.ndarray, ridge: float = 0.3) -> np.ndarray:
    """[D, G]: the ridge regression of the guide on one modality, a student in closed form."""
    x = x.astype(np.float64)
    covariance = x.T @ x / len(x)
    covariance += ridge * np.trace(covariance) / x.shape[1] * np.eye(x.shape[1])
    return np.linalg.solve(covariance, x.T @ guide / len(x))


def agreement(
    train: tuple[np.ndarray, np.ndarray], held_out: tuple[np.ndarray, np.ndarray], guide: np.ndarray
) -> float:
    """How well images alone and reports alone agree on which held-out items are similar, by the guide's measure.

    `train` and `held_out` are (image, report) pairs; `guide` [N, G] belongs to `train`. A closed-form student of each
    modality predicts the guides of the held-out items. The result is the correlation of the two students' cosines over
    all pairs of items. Cross-modal codes can carry only what both modalities show, and no label is used.
    """
    cosines = []
    for x, y in zip(train, held_out):
        predicted = unit(y.astype(np.float64) @ ridge_map(x, guide))
        cosines.append((predicted @ predicted.T)[np.triu_indices(len(predicted), 1)])
    return float(np.corrcoef(*cosines)[0, 1])


def choose_teacher(
    name: str, train: tuple[np.ndarray, np.ndarray], held_out: tuple[np.ndarray, np.ndarray]
) -> tuple[Teacher, np.ndarray, dict[str, float]]:
    """(teacher, guide of the train pairs, agreement of each candidate).

    The teacher is `name`. For "auto" it is the first candidate whose agreement on the held-out pairs is the greatest,
    up to MARGIN; with fewer than 16 held-out pairs it is cca."""
    if name != "auto" or len(held_out[0]) < 16:
        teacher = TEACHERS["cca" if name == "auto" else name]
        return teacher, teacher.guide(*train), {}
    guides = {candidate: TEACHERS[candidate].guide(*train) for candidate in CANDIDATES}
    scores = {candidate: agreement(train, held_out, guide) for candidate, guide in guides.items()}
    best = next(candidate for candidate in CANDIDATES if scores[candidate] >= max(scores.values()) - MARGIN)
    return TEACHERS[best], guides[best], scores
