"""Guides without labels, of parts at several scales: what both modalities learn to predict.

- concepts: which phrases of each family a report resembles, and the same as the image predicts it;
- fine: canonical directions of image and asserted report, all weighing the same, among them those that tell findings;
- coarse: the same weighed by σ·(σ/σ₁)³, of which the leading ones are anatomy.
What a report negates is left out of all three. A mix says how much each part counts.
Shapes: N train pairs · G guide width.
"""

from dataclasses import dataclass

import numpy as np
import torch

from mcmfh.embeddings.concepts import Concepts
from mcmfh.hashing.teachers import Teacher, ridge_map, unit

# Of the softmax over the phrases of a family. The similarities of a report with all phrases are close to one another.
TEMPERATURE = 0.05
FINE = Teacher("cca", 0.1, dims=128, power=0.0)
COARSE = Teacher("cca", 0.1, dims=128, power=3.0)
PROFILE_RIDGE = 0.3


@dataclass(frozen=True)
class Parts:
    """The parts of a guide, unit rows float32[N, ·] each. `families` is () without concepts."""

    families: tuple[np.ndarray, ...]
    fine: np.ndarray
    coarse: np.ndarray

    def mix(self, concepts: float, fine: float, coarse: float, width: int, centred: bool = True) -> np.ndarray:
        """float32[N, G], G ≤ width: the leading principal components of the mixed parts, `centred` or about the origin.

        Cosines of the mixed rows are the weighted mean of the parts' cosines; the families share `concepts` equally.
        """
        shares = [*((concepts / len(self.families), part) for part in self.families)] if self.families else []
        shares += [(fine, self.fine), (coarse, self.coarse)]
        mixed = unit(np.concatenate([np.sqrt(share) * part for share, part in shares if share], 1))
        return principal(mixed - mixed.mean(0) if centred else mixed, width)


def guide_parts(
    image: np.ndarray, asserted: np.ndarray, concepts: Concepts | None, raw: np.ndarray, folds: np.ndarray
) -> Parts:
    """The parts, of train pairs: image float[N, D_I] and asserted report float[N, D_T] standardised.

    `raw` float[N, D_T]: the asserted reports as the encoder gives them, which phrases are compared with.
    """
    families = []
    for phrases in concepts.by_family.values() if concepts else ():
        profile = concept_profile(raw, phrases)
        profile -= profile.mean(0)
        seen = _held_out(image, profile, folds)
        families.append(unit(np.concatenate([unit(profile), unit(seen)], 1)).astype(np.float32))
    return Parts(tuple(families), FINE.guide(image, asserted), COARSE.guide(image, asserted))


def concept_profile(report: np.ndarray, phrases: np.ndarray) -> np.ndarray:
    """float64[N, P] of reports float[N, D_T] and phrases float[P, D_T]: square roots of a softmax over the phrases.

    An inner product of two profiles is the Bhattacharyya coefficient of their distributions.
    """
    scores = unit(report.astype(np.float64)) @ unit(phrases.astype(np.float64)).T / TEMPERATURE
    shares = np.exp(scores - scores.max(1, keepdims=True))
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
