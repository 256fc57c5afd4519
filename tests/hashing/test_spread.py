"""No feature decides a code because it happened to be still while a few pairs trained."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.planted import small

from mcmfh.hashing.baselines.base import Pairs, Standardisation
from mcmfh.hashing.itq import fit_itq
from mcmfh.hashing.preparation import prepare
from mcmfh.hashing.spread import LEAST, spread


def stilled(table, features, remaining):
    """The table with `features` (a share) still among the train items: only a `remaining` part of their deviation."""
    still = np.arange(table.image.shape[1]) < features * table.image.shape[1]
    image = table.image.copy()
    train = np.ix_(table.split == "train", still)
    image[train] = image[train].mean(0) + remaining * (image[train] - image[train].mean(0))
    return replace(table, image=image)


@pytest.mark.parametrize(
    ("features", "remaining"),
    [(0.02, 0.0), (0.02, 1e-7), (0.02, 0.01), (0.25, 1e-4), (0.25, 0.01), (0.6, 0.0), (0.6, 1e-7)],
)
def test_no_feature_rules_a_held_out_item(table, features, remaining):
    still = stilled(table, features, remaining)
    model = prepare(still, small("default")).first_model()
    others = torch.from_numpy(still.image[table.split == "test"])
    squared = model.standardise["image"](others).square().detach()
    assert (squared.amax(1) < 0.75 * squared.sum(1)).all()
    assert squared.amax() < (6 / LEAST) ** 2


@pytest.mark.parametrize("remaining", [0.0, 1e-7])
def test_no_method_divides_by_nearly_nothing(table, remaining):
    still = stilled(table, 0.25, remaining)
    others = still.image[table.split == "test"]
    train = still.of_split("train")
    for standard in (Standardisation.of(train.image), Pairs.of(train).standard_image):
        assert np.abs(standard(others)).max() < 6 / LEAST
    logits = fit_itq(train.image, train.report, (16,), 0).logits(image=torch.from_numpy(others))["image"][16]
    usual = fit_itq(*(getattr(table.of_split("train"), name) for name in ("image", "report")), (16,), 0)
    assert logits.abs().max() < 10 * usual.logits(image=torch.from_numpy(others))["image"][16].abs().max()


def test_features_that_vary_keep_their_own_deviation():
    x = np.random.default_rng(0).standard_normal((50, 9)) * np.r_[np.linspace(0.5, 2, 8), 1e-3]
    np.testing.assert_allclose(spread(x)[:8], x.std(0)[:8])
    assert spread(x)[8] == pytest.approx(LEAST * np.median(x.std(0)))
    np.testing.assert_allclose(spread(1e-12 * x), 1e-12 * spread(x))


def test_an_archive_that_never_varies_has_a_deviation_to_divide_by():
    assert spread(np.ones((20, 3))).tolist() == [1.0] * 3
