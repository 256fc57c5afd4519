"""Graded targets of pretraining, against the formula written out."""

import numpy as np
import pytest
import torch

from mcmfh.pretraining.losses import graded_contrast

TEMPERATURE, SCALE = 0.3, 4.0


def by_hand(image, report, guide, intra):
    """Cross-entropies of softmax(scale · cos) against softmax(cos of guides / temperature), item by item."""
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (image, report)]

    def one(a, b, i, others):
        wanted = np.array([np.exp(guide[i] @ guide[j] / TEMPERATURE) for j in others])
        found = np.array([np.exp(SCALE * (a[i] @ b[j])) for j in others])
        return -(wanted / wanted.sum() * np.log(found / found.sum())).sum()

    n = len(image)
    everyone = [list(range(n))] * n
    but_itself = [[j for j in range(n) if j != i] for i in range(n)]
    across = [np.mean([one(*way, i, everyone[i]) for i in range(n)]) for way in (unit, unit[::-1])]
    within = [np.mean([one(side, side, i, but_itself[i]) for i in range(n)]) for side in unit]
    return np.mean(across), intra * np.mean(within)


@pytest.mark.parametrize("intra", [0.0, 0.5])
def test_it_is_the_formula(intra):
    rng = np.random.default_rng(0)
    image, report, guide = (rng.standard_normal((6, width)) for width in (5, 5, 3))
    guide /= np.linalg.norm(guide, axis=1, keepdims=True)
    tensors = (torch.from_numpy(x) for x in (image, report, guide))
    found = graded_contrast(*tensors, TEMPERATURE, torch.tensor(SCALE), intra)
    across, within = by_hand(image, report, guide, intra)
    assert float(found["contrast"]) == pytest.approx(across)
    assert ("intra" in found) == bool(intra)
    assert float(found.get("intra", torch.tensor(0.0))) == pytest.approx(within)
