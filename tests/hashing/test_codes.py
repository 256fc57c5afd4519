"""The one rule for what a bit is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcmfh.hashing.codes import pack_codes


@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_bit_i_is_bit_i_mod_8_of_byte_i_div_8_and_set_where_positive(rows, bytes_each, seed):
    logits = np.random.default_rng(seed).choice([-1.0, -0.0, 0.0, 1e-30, 2.0], (rows, 8 * bytes_each))
    codes = pack_codes(logits)
    assert codes.shape == (rows, bytes_each)
    assert codes.dtype == np.uint8
    for row in range(rows):
        for bit in range(8 * bytes_each):
            assert bool(codes[row, bit // 8] >> (bit % 8) & 1) == (logits[row, bit] > 0)


def test_nan_is_an_error_that_names_the_row():
    logits = np.ones((3, 16))
    logits[1, 4] = np.nan
    with pytest.raises(ValueError, match="row 1"):
        pack_codes(logits)
