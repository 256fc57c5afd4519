"""Pair recall with ties, against every order that the ties allow; calibration against counting."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcmfh.hashing.calibration import calibrate, falling_rate
from mcmfh.hashing.recall import hamming_matrix, pair_recall, same_text


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_recall_is_the_mean_over_all_orders_of_ties(seed, items):
    rng = np.random.default_rng(seed)
    distance = rng.integers(0, 3, (1, items))
    correct = rng.random((1, items)) < 0.4
    correct[0, rng.integers(items)] = True
    orders = [order for order in permutations(range(items)) if (np.diff(distance[0, list(order)]) >= 0).all()]
    for k in (1, 2, 3):
        expected = np.mean([correct[0, list(order[:k])].any() for order in orders])
        assert pair_recall(distance, correct, (k,))[k] == pytest.approx(expected)


def test_hamming_matrix_and_equal_texts():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (5, 3), np.uint8), rng.integers(0, 256, (7, 3), np.uint8)
    assert np.array_equal(hamming_matrix(a, b), np.bitwise_count(a[:, None] ^ b[None]).sum(-1))
    assert same_text(np.array(["x", "y", "x"])).tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=12))
def test_a_calibrated_rate_never_rises_with_distance_and_keeps_what_already_falls(counts):
    pairs = np.array([max(both) for both in counts])
    positives = np.array([min(both) for both in counts])
    rate = falling_rate(positives, pairs)
    base = positives.sum() / max(pairs.sum(), 1)
    raw = (positives + base) / (pairs + 1)
    assert len(rate) == len(pairs)
    assert (np.diff(rate) <= 1e-12).all()
    assert rate @ (pairs + 1) == pytest.approx(raw @ (pairs + 1))
    if (np.diff(raw) <= 0).all():
        assert np.allclose(rate, raw)


@pytest.mark.parametrize("labelled", [True, False])
def test_calibration_counts_pairs_as_its_name_says(labelled):
    rng = np.random.default_rng(0)
    codes = {name: rng.integers(0, 256, (30, 1), np.uint8) for name in ("image", "report")}
    study = np.array([f"s{i // 2}" for i in range(30)])
    labels = rng.random((30, 3)) < 0.3 if labelled else np.zeros((30, 0), bool)
    found = calibrate(codes, labels, study)
    assert found["meaning"] == ("relevant" if labelled else "same study")
    pairs, positives = np.zeros(9, int), np.zeros(9, int)
    for i in range(30):
        for j in range(30):
            if labelled and i == j:
                continue
            d = int(np.bitwise_count(codes["image"][i] ^ codes["report"][j]).sum())
            pairs[d] += 1
            positives[d] += (labels[i] & labels[j]).any() if labelled else study[i] == study[j]
    assert found["image-report"]["pairs"] == pairs.tolist()
    assert found["image-report"]["positives"] == positives.tolist()
    assert sum(found["image-image"]["pairs"]) == 30 * 29
