"""Teachers: which items are alike, read off the train embeddings without any label.

A contrast with one-hot targets pushes apart two studies of the same finding. A teacher gives every item a guide
vector instead, and the cosine of two guides says how alike their codes should become.
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


@dataclass(frozen=True)
class Teacher:
    """A named way to guide vectors, and the temperature that turns their cosines into targets."""

    name: str
    temperature: float
    # Of a CCA teacher; tuned on labelled validation items of one archive, tried on four others.
    ridge_image: float = 0.3
    ridge_report: float = 0.3
    dims: int = 32
    power: float = 3.0
    image_share: float = 0.7

    def guide(self, image: np.ndarray, report: np.ndarray) -> np.ndarray:
        """float32[N, G] unit rows for the train pairs.

        cca, cca_even: both sides in the canonical space, its directions weighted by σ·(σ/σ₁)^power, the image side at
        `image_share` of the report side. report, image, both: the embeddings themselves.
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
# What "auto" chooses among, by preference. cca leans on the reports, cca_even suits reports that say less. Image
# similarity alone always agrees well with itself and teaches little.
CANDIDATES = ("cca", "cca_even", "both", "report")
MARGIN = 0.01  # agreement that counts as a tie; the preferred candidate then wins


def ridge_map(x: np.ndarray, guide: np.ndarray, ridge: float = 0.3) -> np.ndarray:
    """[D, G] least-squares map from one modality to the guide: a student in closed form."""
    x = x.astype(np.float64)
    covariance = x.T @ x / len(x)
    covariance += ridge * np.trace(covariance) / x.shape[1] * np.eye(x.shape[1])
    return np.linalg.solve(covariance, x.T @ guide / len(x))


def agreement(
    train: tuple[np.ndarray, np.ndarray], held_out: tuple[np.ndarray, np.ndarray], guide: np.ndarray
) -> float:
    """How well images alone and reports alone agree on which held-out items are alike, in the guide's terms.

    (image, report) of the train pairs with their guide [N, G], and of held-out pairs. A closed-form student of each
    modality places the held-out items; the result is the correlation of their cosines over all pairs of items. What
    both sides can see is what cross-modal codes can carry, and no label is looked at.
    """
    cosines = []
    for x, y in zip(train, held_out):
        placed = unit(y.astype(np.float64) @ ridge_map(x, guide))
        cosines.append((placed @ placed.T)[np.triu_indices(len(placed), 1)])
    return float(np.corrcoef(*cosines)[0, 1])


def choose_teacher(
    name: str, train: tuple[np.ndarray, np.ndarray], held_out: tuple[np.ndarray, np.ndarray]
) -> tuple[Teacher, np.ndarray, dict[str, float]]:
    """(teacher, guide of the train pairs, agreement of each candidate): `name`, or for "auto" the first candidate that
    agrees as well as any on the held-out pairs (cca where there are fewer than 16)."""
    if name != "auto" or len(held_out[0]) < 16:
        teacher = TEACHERS["cca" if name == "auto" else name]
        return teacher, teacher.guide(*train), {}
    guides = {candidate: TEACHERS[candidate].guide(*train) for candidate in CANDIDATES}
    scores = {candidate: agreement(train, held_out, guide) for candidate, guide in guides.items()}
    best = next(candidate for candidate in CANDIDATES if scores[candidate] >= max(scores.values()) - MARGIN)
    return TEACHERS[best], guides[best], scores
