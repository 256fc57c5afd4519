"""The learning rate against torch's own schedule."""

import pytest
import torch

from mcmfh.learning.schedule import one_cycle


@pytest.mark.parametrize("total", [10, 97, 1000])
@pytest.mark.parametrize("peak", [1e-3, 0.5])
def test_one_cycle_is_that_of_torch(total, peak):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=total)
    for step in range(total):
        assert one_cycle(step, total, peak) == pytest.approx(schedule.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        schedule.step()
