"""Each term against a loop that follows its definition."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mcmfh.hashing import targets
from mcmfh.hashing.experts import expert_load, gating_loss
from mcmfh.hashing.losses import balance, decorrelation, distillation, sign
from mcmfh.learning.contrast import graded, within

cases = settings(max_examples=20, deadline=None)
seeds = given(st.integers(0, 2**32 - 1), st.integers(2, 7))


def draw(seed, rows, width=8):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((2, rows, width)))


@cases
@seeds
def test_within_leaves_each_item_itself_out(seed, rows):
    a, b = draw(seed, rows)
    target = (a @ b.T).softmax(1)
    expected = 0.0
    for i in range(rows):
        others = [j for j in range(rows) if j != i]
        cosines = np.array([float(a[i] @ a[j] / a[i].norm() / a[j].norm()) for j in others])
        weight = np.array([float(target[i, j]) for j in others])
        expected -= weight / weight.sum() @ (5 * cosines - np.log(np.exp(5 * cosines).sum())) / rows
    assert abs(float(within(a, target, torch.tensor(5.0))) - expected) < 1e-9


@cases
@seeds
def test_label_targets_are_uniform_over_items_that_share_one(seed, rows):
    labels = np.random.default_rng(seed).random((rows, 3)) < 0.4
    found = targets.from_labels(torch.from_numpy(labels)).numpy()
    for i in range(rows):
        alike = [j == i or bool((labels[i] & labels[j]).any()) for j in range(rows)]
        assert np.allclose(found[i], np.array(alike) / sum(alike))


def test_graded_targets_are_distributions_that_rank_by_likeness():
    guide = torch.nn.functional.normalize(draw(3, 6)[0], dim=1)
    target = graded(guide, 0.1)
    assert torch.allclose(target.sum(1), torch.ones(6, dtype=target.dtype))
    assert torch.equal(target.argsort(1), (guide @ guide.T).argsort(1))


def test_sign_is_a_code_forward_and_the_identity_backward():
    h = torch.tensor([-0.5, 0.0, 2.0], requires_grad=True)
    (sign(h) * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert sign(h).tolist() == [-1, -1, 1]
    assert h.grad.tolist() == [1, 2, 3]


def test_spread_terms_vanish_for_a_well_spread_code():
    hadamard = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    assert balance(hadamard) == 0
    assert decorrelation(hadamard) == 0
    assert balance(torch.ones(4, 3)) == 1
    assert decorrelation(torch.ones(4, 3)) > 0


def test_the_fused_code_teaches_and_is_not_taught():
    h, fused = (x.clone().requires_grad_() for x in draw(5, 4))
    distillation(h, fused).backward()
    assert h.grad is not None
    assert fused.grad is None


def test_gating_loss_is_least_for_an_even_load():
    # Every token likes another pair of the four experts: loads and probabilities are exactly even.
    even = torch.tensor([[0.4, 0.4, 0.1, 0.1], [0.1, 0.1, 0.4, 0.4]]).repeat(8, 1)
    skewed = torch.tensor([[0.6, 0.3, 0.05, 0.05]]).repeat(16, 1)
    assert torch.allclose(expert_load(even, 2), torch.full((4,), 0.25))
    switch, variation = gating_loss(even, 2)
    assert torch.allclose(switch, torch.tensor(1.0))
    assert torch.allclose(variation, torch.tensor(0.0), atol=1e-6)
    assert all(worse > best + 0.1 for worse, best in zip(gating_loss(skewed, 2), (switch, variation)))
