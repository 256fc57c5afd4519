"""A checkpoint brings weights, optimiser state and epoch back bit for bit, and refuses another run's."""

import pytest
import torch

from mcmfh.errors import InputError
from mcmfh.learning.checkpoint import pack_state, unpack_state


def stepped(seed: int, steps: int) -> tuple[torch.nn.Module, torch.optim.AdamW]:
    torch.manual_seed(seed)
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.1)
    step(module, optimizer, steps)
    return module, optimizer


def step(module, optimizer, steps):
    for i in range(steps):
        optimizer.zero_grad()
        module(torch.arange(32.0).view(8, 4).roll(i)).square().mean().backward()
        optimizer.step()


def test_a_restored_training_continues_as_the_first_one():
    module, optimizer = stepped(0, 3)
    state = pack_state(module, optimizer, 2, "run")
    other, its_optimizer = stepped(1, 0)
    assert unpack_state(state, "run", other, its_optimizer) == 3
    for each in ((module, optimizer), (other, its_optimizer)):
        step(*each, 2)
    assert all(torch.equal(x, other.state_dict()[name]) for name, x in module.state_dict().items())


def test_weights_alone_can_be_loaded():
    module, optimizer = stepped(0, 1)
    other, _ = stepped(1, 0)
    unpack_state(pack_state(module, optimizer, 0, "run"), "run", other)
    assert all(torch.equal(x, other.state_dict()[name]) for name, x in module.state_dict().items())


def test_another_runs_checkpoint_is_refused():
    module, optimizer = stepped(0, 1)
    with pytest.raises(InputError, match="another run name"):
        unpack_state(pack_state(module, optimizer, 0, "run"), "other", module, optimizer)
