"""Samples of any depth, size and spread become 8 bits that differ where the samples do."""

import numpy as np
import pytest

from mcmfh.archive.stretch import stretch

RAMP = np.arange(256)


@pytest.mark.parametrize(
    "values",
    [
        RAMP.astype(np.uint8),
        (RAMP + 65000).astype(np.uint16),
        (RAMP - 30000).astype(np.int16),
        (RAMP + 2_000_000_000).astype(np.int32),
        (RAMP * 2**40).astype(np.int64),
        RAMP.astype(np.float32) * np.float32(1e-40),  # below the normal numbers
        RAMP.astype(np.float64) * 1e-310,
        RAMP.astype(np.float64) * 1e-300,
        RAMP.astype(np.float64) * 5e305,
        (RAMP - 127.5) * 1e306,  # the difference of the ends is infinite
        RAMP.astype(np.float64) * 1e-6 + 1.0,
        RAMP.astype(np.float32) * np.float32(1e36),
    ],
    ids=lambda values: f"{values.dtype}-{values[0]}-{values[-1]}",
)
@pytest.mark.filterwarnings("error")
def test_a_ramp_becomes_a_ramp(values):
    assert np.abs(stretch(values).astype(int) - RAMP).max() <= 1
    assert stretch(values)[[0, -1]].tolist() == [0, 255]


@pytest.mark.filterwarnings("error")
def test_what_is_no_number_takes_an_end():
    values = np.array([np.nan, -np.inf, 1e300, 2e300, 5e300, np.inf])
    assert stretch(values).tolist() == [0, 0, 0, 64, 255, 255]
    assert stretch(np.full(3, np.nan)).tolist() == [0, 0, 0]
