"""What a hash code is, and the layouts of words that the kernels read.

Shapes: N items, Q queries, B = ceil(bits/8) bytes a code. Bit 0 is the least significant bit of byte 0
(`numpy.packbits(bitorder="little")`); bits beyond the code's length are zero.

Kernels read codes in *planes*: array [P, N] whose row p holds word p of every code, so that a loop over items is
one straight run through memory for the vector unit.
"""

import numpy as np

from mcmfh.errors import InputError

MAX_BITS = 512


def code_bytes(bits: int) -> int:
    """Bytes of one code. Raises InputError unless 1 <= bits <= 512."""
    if not 1 <= bits <= MAX_BITS:
        raise InputError(f"codes of {bits} bits are not supported; choose 1 to {MAX_BITS}")
    return (bits + 7) // 8


def check_codes(codes: np.ndarray, bits: int, name: str = "codes") -> np.ndarray:
    """`codes` as a C-contiguous uint8 [N, B] array. Raises InputError for another type, shape or stray bits."""
    width = code_bytes(bits)
    codes = np.asarray(codes)
    if codes.dtype != np.uint8 or codes.ndim != 2 or codes.shape[1] != width:
        raise InputError(
            f"{name} must be a uint8 array of shape [N, {width}] for {bits} bits, not {codes.dtype} {list(codes.shape)}"
        )
    if bits % 8 and (codes[:, -1] >> (bits % 8)).any():
        raise InputError(f"{name} have bits set beyond the first {bits}; clear them or give the right number of bits")
    return np.ascontiguousarray(codes)


def planes(rows: np.ndarray, dtype: type[np.unsignedinteger]) -> np.ndarray:
    """uint8 [N, B] → [P, N] words of `dtype`, little-endian, the last word filled up with zero bytes."""
    size = np.dtype(dtype).itemsize
    n, width = rows.shape
    words = -(-width // size)
    if width % size:
        rows = np.pad(rows, ((0, 0), (0, words * size - width)))
    return np.ascontiguousarray(np.ascontiguousarray(rows).view(np.dtype(dtype).newbyteorder("<")).reshape(n, words).T)
