"""The learnt scale of a contrast stays below its bound and can always come back from it."""

import math

import numpy as np
import pytest
import torch
from support.planted import small
from torch import nn

from mcmfh.hashing.losses import MAX_SCALE, Objective
from mcmfh.hashing.model import Views
from mcmfh.learning.contrast import learnt_scale


@pytest.mark.parametrize(("start", "scale"), [(60.0, 40.0), (40.0, 40.0), (3.0, 3.0)])
def test_a_scale_beyond_its_bound_is_brought_back_and_has_a_gradient(start, scale):
    log_scale = nn.Parameter(torch.tensor(start).log())
    found = learnt_scale(log_scale, 40.0)
    found.backward()
    assert found.item() == pytest.approx(scale, rel=1e-6)
    assert log_scale.exp().item() == pytest.approx(scale, rel=1e-6)
    assert log_scale.grad.item() == pytest.approx(scale, rel=1e-6)


def test_the_scale_of_a_training_comes_back_once_the_codes_ask_for_less():
    """Codes that agree with their targets drive the scale up to its bound; shuffled ones must drive it down again."""
    objective = Objective(small("default", bits=16, intra=0.0, balance=0.0, decorrelation=0.0))
    optimizer = torch.optim.SGD(objective.parameters(), 0.5)
    logits = torch.from_numpy(np.random.default_rng(0).standard_normal((24, 16))).float()

    def steps(report, count):
        for _ in range(count):
            terms = objective(Views({16: logits}, {16: report}), torch.eye(24))
            optimizer.zero_grad()
            torch.stack(list(terms.values())).sum().backward()
            optimizer.step()
        return objective.log_scale.exp().item()

    with torch.no_grad():
        objective.log_scale.fill_(math.log(MAX_SCALE) + 2)
    assert steps(logits, 3) == pytest.approx(MAX_SCALE, rel=0.2)
    assert steps(logits.roll(1, 0), 60) < MAX_SCALE / 2
