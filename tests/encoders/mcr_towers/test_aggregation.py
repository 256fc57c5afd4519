"""Mapping before aggregation is another function than aggregating before mapping, except where it must not be."""

import torch
from torch import nn

from mcmfh.encoders.mcr_towers.aggregation import MapFirst, PoolFirst
from mcmfh.encoders.mcr_towers.masking import all_present, see_all


def features(seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    local = torch.randn(3, 9, 12, generator=generator)
    return local, see_all(all_present(local))


def test_with_a_linear_map_and_uniform_weights_the_orders_coincide_and_ours_differs():
    local, mask = features()
    usual, ours = PoolFirst(12, 8), MapFirst(12, 8)
    assert torch.allclose(MapFirst(12, 8, phi=usual.project)(local, mask), usual(local, mask), atol=1e-6)
    # Two sets of features with one mean: the usual order cannot tell them apart, ours can.
    spread = local.mean(1, keepdim=True) + 3 * (local - local.mean(1, keepdim=True))
    assert torch.allclose(usual(local, mask), usual(spread, mask), atol=1e-5)
    assert (ours(local, mask) - ours(spread, mask)).norm(dim=1).min() > 0.01


def test_parts_sum_to_the_vector_and_absent_places_have_none():
    local, _ = features()
    present = torch.arange(9) < torch.tensor([[9], [4], [1]])
    mask = see_all(present)
    for aggregation in (MapFirst(12, 8), PoolFirst(12, 8)):
        nn.init.normal_(next(aggregation.parameters()))
        changed = local.masked_fill(~present[..., None], 50.0)
        assert torch.allclose(aggregation(local, mask), aggregation(changed, mask), atol=1e-6)
        assert torch.allclose(aggregation(local, mask).norm(dim=1), torch.ones(3), atol=1e-5)
    parts = MapFirst(12, 8).parts(local, mask)
    assert not parts[~present].any()
