"""Calibration: an isotonic fit of what was counted."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mcmfh.evaluation.calibration import RELEVANT, SAME_STUDY, Calibration, _never_rising, calibrate, calibrations

from .test_evaluate import codes_of


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_fit_is_the_isotonic_projection(n, seed):
    """A fit is the projection on the cone of falling sequences exactly when it meets the max–min formula."""
    random = np.random.default_rng(seed)
    rate, weight = random.random(n), random.integers(1, 9, n).astype(float)

    def mean(i, j):
        return np.average(rate[i : j + 1], weights=weight[i : j + 1])

    expected = [min(max(mean(i, j) for j in range(k, n)) for i in range(k + 1)) for k in range(n)]
    np.testing.assert_allclose(_never_rising(rate, weight), expected)


def test_unseen_distances_are_never_certain():
    found = calibrate(np.array([0, 4, 100, 0]), np.array([0, 4, 10, 0]), RELEVANT)
    assert all(0 < p < 1 for p in found.probability)
    assert list(found.probability) == sorted(found.probability, reverse=True)
    assert Calibration.from_json(found.to_json()) == found


def test_rates_of_plenty_are_those_counted():
    items, matches = np.array([10_000, 20_000, 90_000]), np.array([9_000, 8_000, 900])
    np.testing.assert_allclose(calibrate(items, matches, RELEVANT).probability, matches / items, atol=1e-3)


def test_with_and_without_labels(table):
    codes = codes_of(table)
    with_labels = calibrations(codes, table, 16)
    assert [each.meaning for each in with_labels["image→report"]] == [RELEVANT, SAME_STUDY]
    assert [each.meaning for each in with_labels["image→image"]] == [RELEVANT]  # one image a study: nothing to find
    bare = replace(table, labels=np.zeros((len(table), 0), bool), label_names=())
    (only,) = calibrations(codes, bare, 16)["image→report"]
    assert only.meaning == SAME_STUDY
    validation = table.split == "validation"
    assert only.pairs == validation.sum() ** 2
    assert np.isclose(only.base_rate, 1 / validation.sum())
