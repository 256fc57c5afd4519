"""Maps every sample through a table of 256-level values.

numpy's `take` first makes an eight-byte index of every sample, which costs more than the rest of a radiograph's
grey-scale pipeline; this kernel does not.
"""

import numpy as np
from numba import njit


def look_up(samples: np.ndarray, least: np.integer, table: np.ndarray) -> np.ndarray:
    """table[samples - least] as uint8, of the shape of `samples`: integers of any width, in native byte order.

    table: uint8 with an entry for every value from `least` to the greatest sample.
    """
    unsigned = np.ascontiguousarray(samples).view(f"u{samples.itemsize}").ravel()
    every_bit = np.uint64((1 << 8 * samples.itemsize) - 1)
    grey: np.ndarray = _take(unsigned, least.view(unsigned.dtype), every_bit, table).reshape(samples.shape)
    return grey


@njit(nogil=True, cache=True)
def _take(unsigned: np.ndarray, least: np.integer, every_bit: np.uint64, table: np.ndarray) -> np.ndarray:
    grey = np.empty(len(unsigned), np.uint8)
    for i in range(len(unsigned)):
        # The difference is right modulo 2^bits, whether the samples were signed or not.
        grey[i] = table[(np.uint64(unsigned[i]) - np.uint64(least)) & every_bit]
    return grey
