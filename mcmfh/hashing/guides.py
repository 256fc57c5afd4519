"""Guides without labels, of parts at several scales: what both modalities learn to predict.

- concepts: which phrases of each family a report names, and the same as the image predicts it;
- fine: canonical directions of image and asserted report, all weighing the same, among them those that tell findings;
- coarse: the same weighed by σ·(σ/σ₁)³, of which the leading ones are anatomy.
What a report negates is left out of all three. A mix says how much each part counts.
Shapes: N train pairs · P phrases of a family · G guide width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mcmfh.hashing.teachers import Teacher, ridge_cca, ridge_map, unit

FINE = Teacher("cca", 0.1, dims=128, power=0.0)
COARSE = Teacher("cca", 0.1, dims=128, power=3.0)
PROFILE_RIDGE = 0.3


@dataclass(frozen=True)
class Parts:
    """The parts of a guide, unit rows float32[N, ·] each. `families` is () without concepts.

    shown: correlation of what reports hold of a part with what images predict of it by a ridge regression on other
    pairs, of "concepts" (mean of the families) and "fine".
    """

    families: tuple[np.ndarray, ...]
    fine: np.ndarray
    coarse: np.ndarray
    shown: dict[str, float]

    def mix(self, concepts: float, fine: float, coarse: float, width: int, centred: bool = True) -> np.ndarray:
        """float32[N, G], G ≤ width: the leading principal components of the mixed parts, `centred` or about the origin.

        Cosines of the mixed rows are the weighted mean of the parts' cosines; the families share `concepts` equally.
        """
        shares = [*((concepts / len(self.families), part) for part in self.families)] if self.families else []
        shares += [(fine, self.fine), (coarse, self.coarse)]
        mixed = unit(np.concatenate([np.sqrt(share) * part for share, part in shares if share], 1))
        return principal(mixed - mixed.mean(0) if centred else mixed, width)


def guide_parts(image: np.ndarray, asserted: np.ndarray, scores: Sequence[np.ndarray], folds: np.ndarray) -> Parts:
    """The parts, of train pairs: image float[N, D_I] and asserted report float[N, D_T] standardised.

    `scores` float[N, P] of each family: how clearly a report names each phrase, of which `concept_profile` is made.
    """
    families, shown = [], []
    for of_family in scores:
        profile = concept_profile(of_family)
        profile -= profile.mean(0)
        seen = _held_out(image, profile, folds)
        families.append(unit(np.concatenate([unit(profile), unit(seen)], 1)).astype(np.float32))
        shown.append(correlation(profile, seen))
    visible = {"concepts": float(np.mean(shown))} if shown else {}
    visible["fine"] = _fine_shown(image, asserted, folds)
    return Parts(tuple(families), FINE.guide(image, asserted), COARSE.guide(image, asserted), visible)


def concept_profile(scores: np.ndarray) -> np.ndarray:
    """float64[N, P]: square roots of a softmax of scores float[N, P] over the phrases.

    An inner product of two profiles is the Bhattacharyya coefficient of their distributions.
    """
    shares = np.exp(scores - scores.max(1, keepdims=True).astype(np.float64))
    profile: np.ndarray = np.sqrt(shares / shares.sum(1, keepdims=True))
    return profile


def principal(rows: np.ndarray, width: int) -> np.ndarray:
    """float32[N, G]: the rows in their first G ≤ `width` principal directions about the origin."""
    matrix = torch.from_numpy(rows.astype(np.float32))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        left, size, _ = torch.svd_lowrank(matrix, min(width, *matrix.shape), niter=3)
    scores: np.ndarray = (left * size).numpy()
    return scores


def _held_out(x: np.ndarray, target: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """float64[N, P]: the ridge prediction of each row by a regression on the other folds."""
    predicted = np.empty(target.shape)
    for fold in np.unique(folds):
        out = folds == fold
        predicted[out] = x[out] @ ridge_map(x[~out], target[~out] - target[~out].mean(0), PROFILE_RIDGE)
    return predicted


def _fine_shown(image: np.ndarray, asserted: np.ndarray, folds: np.ndarray) -> float:
    """The same correlation for the fine directions, which are found on the other folds as well. Their mean by fold."""
    found = []
    for fold in np.unique(folds):
        out = folds == fold
        cca = ridge_cca(image[~out], asserted[~out], FINE.ridge_image, FINE.ridge_report)
        report = unit(asserted @ (cca.report[:, : FINE.dims] * cca.correlation[: FINE.dims]))
        report -= report[~out].mean(0)
        found.append(correlation(report[out], image[out] @ ridge_map(image[~out], report[~out], PROFILE_RIDGE)))
    return float(np.mean(found))


def correlation(target: np.ndarray, predicted: np.ndarray) -> float:
    """Of all cells of two centred matrices; 0 where one of them is zero."""
    sizes = np.linalg.norm(target) * np.linalg.norm(predicted)
    return float((target * predicted).sum() / sizes) if sizes else 0.0
