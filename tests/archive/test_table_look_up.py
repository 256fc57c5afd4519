"""One look-up a sample against plain indexing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from mcmfh.archive.table_look_up import look_up


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4"])
@settings(deadline=None)
@given(data=st.data())
def test_every_width_and_sign_is_looked_up_at_its_own_place(dtype, data):
    span = np.iinfo(dtype)
    least = data.draw(st.integers(span.min, span.max - 200))
    values = st.integers(least, least + 200)
    samples = data.draw(arrays(dtype, array_shapes(min_dims=2, max_dims=2), elements=values))
    if data.draw(st.booleans()):
        samples = samples[::-1, ::2]  # whatever the strides
    table = np.random.default_rng(0).integers(0, 256, int(samples.max()) - int(samples.min()) + 1, np.uint8)
    expected = table[samples.astype(np.int64) - int(samples.min())]
    assert np.array_equal(look_up(samples, samples.min(), table), expected)
