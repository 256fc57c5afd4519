"""The parts of the paper: voting stays frozen, experts share the load, switches make parts appear and vanish."""

import pytest
import torch
from support.planted import small

from mcmfh.hashing.experts import Experts, expert_load, gating_loss
from mcmfh.hashing.fitting import Pairs, fit, make_optimizer
from mcmfh.hashing.heads import Dropout
from mcmfh.hashing.preparation import prepare
from mcmfh.hashing.trainee import Trainee
from mcmfh.hashing.voting import DropoutVoting


def trained(name, table, **more):
    settings = small(name, **more)
    prepared = prepare(table, settings)
    trainee = Trainee(prepared.first_model(), settings)
    before = {key: x.clone() for key, x in trainee.model.state_dict().items()}
    pairs = Pairs.from_rows(torch.from_numpy(prepared.rows), prepared.widths, "cpu")
    fit(trainee, make_optimizer(trainee, settings), pairs, settings, prepared.temperature)
    return trainee.model.eval(), before


@pytest.mark.parametrize(("name", "learns"), [("paper", False), ("trained voting", True)])
def test_voting_learns_only_where_it_is_told_to(name, learns, table):
    model, before = trained(name, table)
    weights = {key: x for key, x in model.state_dict().items() if key.startswith("voting.") and "mask" not in key}
    masks = {key: x for key, x in model.state_dict().items() if key.endswith("mask_MD")}
    assert len(weights) == 8
    assert len(masks) == 2
    assert all(torch.equal(before[key], x) for key, x in masks.items())
    assert all(torch.equal(before[key], x) != learns for key, x in weights.items())


def test_votes_are_the_mean_of_masked_voters():
    torch.manual_seed(0)
    voting, x = DropoutVoting(16, votes=5, dropout=0.2), torch.randn(3, 16)
    hidden = torch.nn.functional.gelu(voting.inner(x))
    voters = [torch.nn.functional.normalize(x + voting.outer(hidden * mask), dim=1) for mask in voting.mask_MD]
    mean = torch.stack(voters).mean(0)
    assert torch.allclose(voting(x), mean / mean.norm(dim=1, keepdim=True) * 4, atol=1e-6)
    assert set(voting.mask_MD.unique().tolist()) == {0.0, 1.25}


@pytest.mark.parametrize("p", [0.0, 0.2, 0.6])
def test_dropout_drops_the_share_it_is_told_and_keeps_the_mean(p):
    torch.manual_seed(0)
    dropout, x = Dropout(p), torch.ones(301, 999)
    dropped = dropout(x)
    assert dropout.eval()(x) is x
    assert set(dropped.unique().tolist()) <= {0.0, float(torch.tensor(1 / (1 - p)))}
    assert (dropped == 0).float().mean() == pytest.approx(p, abs=0.005)
    # Every column and every row alike: no lane of the random words is skewed.
    assert (dropped == 0).float().mean(0).std() < 1.2 * (p * (1 - p) / 301) ** 0.5 + 1e-9
    assert (dropped == 0).float().mean(1).std() < 1.2 * (p * (1 - p) / 999) ** 0.5 + 1e-9


def test_experts_give_the_same_in_training_and_after():
    torch.manual_seed(0)
    experts, x = Experts(16, 24, experts=4), torch.randn(30, 16)
    routed = experts.train()(x)[0]
    assert torch.allclose(routed, experts.eval()(x)[0], atol=1e-6)
    probability = experts.gate(x).softmax(-1)
    for token in range(30):
        best = probability[token].topk(2)
        share = best.values / best.values.sum()
        expected = sum(w * experts.experts[int(e)](x[token]) for w, e in zip(share, best.indices))
        assert torch.allclose(routed[token], expected, atol=1e-5)


def test_every_expert_gets_a_gradient_even_without_tokens():
    experts, x = Experts(8, 8, experts=4, top_k=1), torch.ones(5, 8)
    experts.train()(x)[0].sum().backward()
    assert all(p.grad is not None for expert in experts.experts for p in expert.parameters())


def test_gating_loss_balances_a_router_that_prefers_one_expert():
    loads = {}
    for weight in (0.0, 0.05):
        torch.manual_seed(0)
        experts, x = Experts(16, 16, experts=4), torch.randn(512, 16)
        x[:, 0] = 3.0
        with torch.no_grad():
            experts.gate.weight[0, 0] += 2.0
            experts.gate.weight[1, 0] += 1.0
        optimizer = torch.optim.Adam(experts.parameters(), 0.01)
        for _ in range(150):
            y, probability = experts(x)
            loss = (y - x.flip(1)).square().mean() + weight * sum(gating_loss(probability, 2))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        loads[weight] = expert_load(experts(x)[1], 2)
    assert loads[0.0].max() > 0.4
    assert loads[0.05].min() >= 0.15
    assert loads[0.05].max() <= 0.35


@pytest.mark.parametrize(
    ("more", "present", "absent"),
    [
        ({}, "fusion.", "missing"),
        ({"voting": "off"}, "fusion.", "voting."),
        ({"experts": 1, "gating_loss": 0.0}, "experts.experts.0", "experts.experts.1"),
        ({"fusion": False, "experts": 1, "gating_loss": 0.0, "distillation": 0.0}, "voting.", "fusion."),
        ({"missing_token": True}, "fusion.missing_2D", "heads."),
    ],
)
def test_a_switch_decides_which_weights_exist(more, present, absent, table):
    names = list(prepare(table, small("paper", **more)).first_model().state_dict())
    assert any(present in name for name in names)
    assert not any(absent in name for name in names)
