"""One table look-up a sample. numpy's take first makes an eight-byte index of every sample, which costs more than the
rest of a radiograph's grey-scale pipeline."""

import numpy as np
from numba import njit


def look_up(samples: np.ndarray, least: np.integer, table: np.ndarray) -> np.ndarray:
    """uint8, shaped as `samples`: table[samples - least] of integers of any width, in the machine's byte order.

    table: uint8, an entry for every value from `least` to the greatest sample.
    """
    places = np.ascontiguousarray(samples).view(f"u{samples.itemsize}").ravel()
    every_bit = np.uint64((1 << 8 * samples.itemsize) - 1)
    return _take(places, least.view(places.dtype), every_bit, table).reshape(samples.shape)


@njit(nogil=True, cache=True)
def _take(places, least, every_bit, table):
    taken = np.empty(len(places), np.uint8)
    for i in range(len(places)):
        # Modulo 2^bits the difference to the least value is right, whatever the signs.
        taken[i] = table[(np.uint64(places[i]) - np.uint64(least)) & every_bit]
    return taken
