"""Hamming distances one by one, without an index: for measures and for codes that are compared only once."""

import numpy as np

_WORDS: tuple[type[np.unsignedinteger], ...] = (np.uint64, np.uint32, np.uint16, np.uint8)


def hamming_distances(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """int16[…]: the number of bits in which codes uint8[…, B] differ, `left` and `right` broadcast against each other.

    Rows in pairs: `hamming_distances(a, b)`; one query against N codes: `hamming_distances(codes, query)`; every query
    against every code: `hamming_distances(queries[:, None], codes)`.
    """
    # The widest word that fills the code: one popcount then compares up to 64 bits.
    word = next(kind for kind in _WORDS if left.shape[-1] % kind().itemsize == 0)
    left, right = (np.ascontiguousarray(codes).view(word) for codes in (left, right))
    distances: np.ndarray = np.bitwise_count(left[..., 0] ^ right[..., 0]).astype(np.int16)
    for column in range(1, left.shape[-1]):
        distances += np.bitwise_count(left[..., column] ^ right[..., column])
    return distances
