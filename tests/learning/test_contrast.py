"""The contrastive loss against a loop that follows its definition."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mcmfh.learning.contrast import contrast


def expected_contrast(a, b, target, scale):
    """Mean over both directions and all rows of −Σⱼ target · log softmax(scale · cos)."""
    loss = 0.0
    for left, right in ((a, b), (b, a)):
        for i, row in enumerate(target):
            cosines = np.array([float(left[i] @ each / left[i].norm() / each.norm()) for each in right])
            loss -= float(row @ (scale * cosines - np.log(np.exp(scale * cosines).sum()))) / (2 * len(target))
    return loss


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(2, 7), graded=st.booleans())
def test_contrast_is_the_cross_entropy_of_both_directions(seed, rows, graded):
    random = np.random.default_rng(seed)
    a, b = torch.from_numpy(random.standard_normal((2, rows, 8)))
    target = np.eye(rows)  # one-hot rows: NT-Xent
    if graded:
        target = random.random((rows, rows))
        target /= target.sum(1, keepdims=True)
    loss = contrast(a, b, torch.from_numpy(target), torch.tensor(5.0))
    assert abs(float(loss) - expected_contrast(a, b, target, 5.0)) < 1e-9
