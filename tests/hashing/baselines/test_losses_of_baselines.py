"""The baselines' losses against their definitions, written out as loops."""

import numpy as np
import pytest
import torch

from mcmfh.hashing.baselines.contrastive import info_nce
from mcmfh.hashing.baselines.ddbh import class_quantisation, pair_loss
from mcmfh.hashing.baselines.dscph import MARGIN, centre_penalty, triplets
from mcmfh.hashing.baselines.ucmfh import TEMPERATURE, nt_xent

LABELS = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [0, 1, 1.0]])
CODES = torch.randn(5, 8, generator=torch.Generator().manual_seed(0)).tanh()


def cosine(a, b):
    return float(a @ b / (a.norm() * b.norm()))


def test_nt_xent_is_the_sum_over_all_views():
    other = CODES.flip(0) * 0.5 + 0.1
    views = [*CODES, *other]
    total = 0.0
    for i, view in enumerate(views):
        scores = [np.exp(cosine(view, rest) / TEMPERATURE) for j, rest in enumerate(views) if j != i]
        total -= np.log(np.exp(cosine(view, views[(i + 5) % 10]) / TEMPERATURE) / sum(scores)) / 10
    assert float(nt_xent(CODES, other)) == pytest.approx(total, abs=1e-5)


def test_info_nce_of_perfect_pairs_is_nearly_zero_and_of_equal_rows_is_log_b():
    assert float(info_nce(torch.eye(5), torch.eye(5), 50.0)) < 1e-3
    assert float(info_nce(torch.ones(5, 1), torch.ones(5, 1), 3.0)) == pytest.approx(np.log(5))


def test_pair_loss_is_logistic_with_twice_the_slope_on_the_wrong_side():
    for similar in (0.0, 1.0):
        inner = torch.linspace(-4, 4, 81, requires_grad=True)
        (slope,) = torch.autograd.grad(pair_loss(inner, torch.full((81,), similar)) * 81, inner)
        expected = torch.sigmoid(inner) - similar
        wrong = (inner > 1e-6) if similar == 0 else (inner < -1e-6)
        right = (inner < -1e-6) if similar == 0 else (inner > 1e-6)
        torch.testing.assert_close(slope[wrong], 2 * expected[wrong])
        torch.testing.assert_close(slope[right], expected[right])


def test_class_quantisation_is_the_mean_over_memberships():
    values = []
    for item in range(5):
        for c in range(3):
            if LABELS[item, c]:
                centre = torch.sign(sum(CODES[j] for j in range(5) if LABELS[j, c]))
                values.append(float(((CODES[item] - centre) ** 2).mean()))
    assert float(class_quantisation(CODES, LABELS)) == pytest.approx(np.mean(values), abs=1e-6)


def test_centre_penalty_is_the_dice_like_ratio():
    centres = torch.randn(3, 8, generator=torch.Generator().manual_seed(1))
    values = []
    for code, labels in zip(CODES, LABELS):
        near = [max(0.0, cosine(code, centre)) for centre in centres]
        hit = sum(n for n, y in zip(near, labels) if y)
        missed = sum(1 - n for n, y in zip(near, labels) if y)
        false = sum(n for n, y in zip(near, labels) if not y)
        values.append(1 - hit / (hit + missed + false))
    assert float(centre_penalty(CODES, centres, LABELS)) == pytest.approx(np.mean(values), abs=1e-6)
    assert float(centre_penalty(torch.eye(3), torch.eye(3), torch.eye(3))) == pytest.approx(0, abs=1e-6)


def test_triplets_are_all_of_the_batch():
    values = []
    for a in range(5):
        for p in range(5):
            for n in range(5):
                common = float(LABELS[a] @ LABELS[p])
                if a != p and common and not LABELS[a] @ LABELS[n]:
                    margin = MARGIN * common / float((LABELS[a] + LABELS[p]).clamp(max=1).sum())
                    values.append(max(0.0, margin + cosine(CODES[a], CODES[n]) - cosine(CODES[a], CODES[p])))
    assert float(triplets(CODES, LABELS)) == pytest.approx(np.mean(values), abs=1e-6)
    assert float(triplets(CODES[:2], torch.ones(2, 1))) == 0
