"""Distances without an index against counting unpacked bits."""

import numpy as np
import pytest

from mcmfh.hamming import hamming_distances


def counted(left, right):
    return (np.unpackbits(left, axis=-1) != np.unpackbits(right, axis=-1)).sum(-1)


@pytest.mark.parametrize("width", [1, 2, 3, 4, 6, 8, 12, 16, 24, 64])
def test_every_code_length_and_every_way_to_pair_codes(width):
    random = np.random.default_rng(width)
    a, b = (random.integers(0, 256, (n, width), np.uint8) for n in (5, 7))
    assert np.array_equal(hamming_distances(a, b[:5]), counted(a, b[:5]))
    assert np.array_equal(hamming_distances(b, a[0]), counted(b, np.broadcast_to(a[0], b.shape)))
    matrix = hamming_distances(a[:, None], b)
    assert matrix.dtype == np.int16
    assert np.array_equal(matrix, [[counted(x, y) for y in b] for x in a])


def test_columns_that_do_not_lie_side_by_side_and_read_only_ones():
    codes = np.random.default_rng(0).integers(0, 256, (9, 8), np.uint8)
    codes.flags.writeable = False
    assert np.array_equal(
        hamming_distances(codes[::2, ::2], codes[1, :4]), counted(codes[::2, ::2], np.tile(codes[1, :4], (5, 1)))
    )


def test_the_greatest_distance_fits_and_no_codes_have_no_distances():
    assert hamming_distances(np.zeros((1, 64), np.uint8), np.full((1, 64), 255, np.uint8)) == 512
    assert hamming_distances(np.zeros((0, 2), np.uint8), np.zeros(2, np.uint8)).shape == (0,)
