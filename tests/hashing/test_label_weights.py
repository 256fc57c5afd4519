"""Likeness by labels: against its definition as loops, with missing labels unknown."""

import numpy as np
import pytest
import torch
from support.planted import planted_table, small

from mcmfh.hashing import targets
from mcmfh.hashing.label_weights import label_guide, label_shares, label_weights, soft_labels
from mcmfh.hashing.preparation import prepare
from mcmfh.hashing.settings import TrainSettings

NAMES = ("finding:a", "finding:b", "finding:c", "region:x", "region:y", "plain")


def draw(n=80, seed=0):
    random = np.random.default_rng(seed)
    labels = np.concatenate([random.random((n, 3)) < 0.2, np.eye(2, dtype=bool)[random.integers(0, 2, n)]], 1)
    return np.concatenate([labels, random.random((n, 1)) < 0.3], 1)


def test_a_rare_label_of_a_heavy_family_weighs_most():
    labels = np.zeros((100, 3), bool)
    labels[:90, 0] = labels[:10, 1] = labels[90:, 2] = True
    weights = label_weights(labels, ("region:a", "finding:b", "plain"), {"finding": 2.0})
    np.testing.assert_allclose(weights, [np.log(100 / 90), 2 * np.log(10), np.log(10)])


def test_overlap_is_the_weighted_share_of_what_the_row_has():
    labels = draw()
    weights = label_weights(labels, NAMES, {"region": 0.5})
    share, soft = label_shares(labels, weights), soft_labels(labels, NAMES)
    found = share @ soft.T
    families = [name.partition(":")[0] for name in NAMES]
    has = {family: labels[:, [f == family for f in families]].any(1) for family in families}
    for i in range(20):
        for j in range(20):
            total = shared = 0.0
            for c in np.flatnonzero(labels[i]):
                total += weights[c]
                known = has[families[c]]
                # What an item without a label of the family would share is what a random item with one shares.
                shared += weights[c] * (labels[j, c] if known[j] else labels[known, c].mean())
            assert found[i, j] == pytest.approx(shared / total if total else 0.0, abs=1e-5)
    assert np.allclose(np.diag(found)[labels.any(1)], 1, atol=1e-5)


def test_an_exact_match_outranks_a_shared_region_and_that_outranks_neither():
    labels = np.array([[1, 0, 0, 1, 0, 0], [1, 0, 0, 1, 0, 0], [0, 1, 0, 1, 0, 0], [0, 1, 0, 0, 1, 0]] * 5, bool)
    weights = label_weights(labels, NAMES, {})
    shares = torch.from_numpy(label_shares(labels, weights))
    found = targets.from_overlap(shares, torch.from_numpy(soft_labels(labels, NAMES)), 0.3)
    assert torch.allclose(found.sum(1), torch.ones(20))
    assert found[0, 1] == found[0, 0] > found[0, 2] > found[0, 3]


def test_an_unknown_finding_is_neither_shared_nor_absent():
    labels = np.array([[1, 0, 0, 1, 0, 0], [1, 0, 0, 1, 0, 0], [0, 1, 0, 1, 0, 0], [0, 0, 0, 1, 0, 0]] * 5, bool)
    overlap = label_shares(labels, label_weights(labels, NAMES, {})) @ soft_labels(labels, NAMES).T
    assert overlap[0, 1] > overlap[0, 3] > overlap[0, 2]
    np.testing.assert_allclose(label_guide(labels, NAMES, np.ones(6))[3, :2], 0, atol=1e-6)


def test_the_old_targets_stay_and_misplaced_ones_are_refused():
    table = planted_table()
    graded, old = (prepare(table, small("supervised", targets=name)) for name in ("graded", "any_label"))
    assert graded.widths[2:] == (6, 6)
    assert old.widths[2:] == (0, 6)
    assert (graded.teacher, graded.temperature) == ("labels", 0.3)
    assert graded.fingerprint != old.fingerprint
    for supervised, name in ((True, "onehot"), (False, "any_label")):
        with pytest.raises(ValueError, match="do not go with supervised"):
            TrainSettings(supervised=supervised, targets=name)
