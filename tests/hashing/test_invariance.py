"""A code is a function of one item's one modality: of nothing that happens to be hashed beside it."""

import numpy as np
import pytest
import torch
from support.planted import RECIPES, small

from mcmfh.hashing.model import Mcmfh
from mcmfh.hashing.preparation import prepare
from mcmfh.hashing.solving import solve

# A bit whose logit is this near to 0 may flip: matrix kernels round differently for different batch shapes.
MARGIN = 1e-4


def build(name, table):
    settings = small(name)
    prepared = prepare(table, settings)
    return (prepared.first_model() if settings.method == "mcmfh" else solve(prepared)).eval()


def logits(model, image=None, report=None):
    with torch.inference_mode():
        given = {"image": image, "report": report}
        found = model.logits(**{name: torch.tensor(x) for name, x in given.items() if x is not None})
    return {name: {k: y.numpy() for k, y in by_k.items()} for name, by_k in found.items()}


def same_codes(a, b):
    differ = (a > 0) != (b > 0)
    return np.abs(a - b).max() < MARGIN and (np.minimum(np.abs(a), np.abs(b))[differ] < MARGIN).all()


@pytest.mark.parametrize("name", RECIPES)
def test_order_neighbours_and_batch_size_change_no_code(name, table):
    model = build(name, table)
    rng = np.random.default_rng(1)
    order = rng.permutation(len(table))
    for modality, x in (("image", table.image), ("report", table.report)):
        whole = logits(model, **{modality: x})[modality]
        shuffled = logits(model, **{modality: x[order]})[modality]
        alone = [logits(model, **{modality: x[i : i + 1]})[modality] for i in range(5)]
        strangers = np.concatenate([x[:7], 50 * rng.standard_normal((3, x.shape[1])).astype(np.float32)])
        beside = logits(model, **{modality: strangers})[modality]
        for k in (16, 32):
            assert same_codes(whole[k][order], shuffled[k])
            assert same_codes(whole[k][:5], np.concatenate([y[k] for y in alone]))
            assert same_codes(whole[k][:7], beside[k][:7])


@pytest.mark.parametrize("name", RECIPES)
def test_an_image_code_does_not_change_with_its_report(name, table):
    model = build(name, table)
    rng = np.random.default_rng(2)
    alone = logits(model, image=table.image)["image"]
    together = logits(model, image=table.image, report=table.report)["image"]
    noise = logits(model, image=table.image, report=rng.standard_normal(table.report.shape).astype(np.float32))["image"]
    for k in (16, 32):
        assert np.array_equal(alone[k], together[k])
        assert np.array_equal(alone[k], noise[k])


def test_a_fused_code_needs_both_and_depends_on_both(table):
    model = build("paper", table)
    assert isinstance(model, Mcmfh)
    image, report = torch.from_numpy(table.image[:40]), torch.from_numpy(table.report[:40])
    with torch.inference_mode():
        fused = model.fused_logits(image, report)[16]
        swapped = model.fused_logits(image, report.flip(0))[16]
        one = model.fused_logits(image[:1], report[:1])[16]
    assert not torch.allclose(fused, swapped, atol=MARGIN)
    assert torch.allclose(fused[:1], one, atol=MARGIN)  # attention is within a study, never over the batch
