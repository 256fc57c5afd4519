"""The start of a rotation is chosen by what its codes find, against the definition written out."""

import numpy as np
import pytest

from mcmfh.hashing.starts import FIRST, STARTS, best_start, found_likeness
from mcmfh.hashing.teachers import unit


def written_out(image, report, likeness):
    gains = []
    for queries, targets, of_query in ((image, report, likeness), (report, image, likeness.T)):
        for i, query in enumerate(queries):
            others = [j for j in range(len(targets)) if j != i]
            others.sort(key=lambda j: int((query != targets[j]).sum()))
            discount = [1 / np.log2(rank + 1) for rank in range(1, len(others[:FIRST]) + 1)]
            gains.append(np.dot([of_query[i, j] for j in others[:FIRST]], discount) / sum(discount))
    return np.mean(gains)


@pytest.mark.parametrize("pairs", [2, 7, 60])
def test_found_likeness_is_its_definition(pairs):
    rng = np.random.default_rng(pairs)
    image, report = rng.random((2, pairs, 8)) > 0.5
    likeness = rng.standard_normal((pairs, pairs))
    likeness = likeness + likeness.T
    assert found_likeness(image, report, likeness) == pytest.approx(written_out(image, report, likeness))


def test_the_start_that_finds_most_is_taken():
    rng = np.random.default_rng(0)
    topic = np.eye(4)[rng.integers(0, 4, 90)]
    held_out = [unit(topic + 0.1 * rng.standard_normal((90, 4))) for _ in range(2)]
    good, asked = np.eye(4), []

    def fit(seed):
        asked.append(seed)
        return good if len(asked) == 5 else np.random.default_rng(seed).standard_normal((4, 1)) * np.ones((1, 4))

    assert best_start(fit, held_out, np.full(4, 0.3), seed=3) is good
    assert len(set(asked)) == STARTS


def test_the_same_seed_takes_the_same_start():
    rng = np.random.default_rng(1)
    held_out = [unit(rng.standard_normal((40, 5))) for _ in range(2)]

    def fit(seed):
        return np.random.default_rng(seed).standard_normal((5, 8))

    first, second = (best_start(fit, held_out, np.zeros(5), 7) for _ in range(2))
    np.testing.assert_array_equal(first, second)
