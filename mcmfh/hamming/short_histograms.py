"""Distance histograms for codes of at most 16 bits, 512 items an instruction.

Codes and labels are transposed: plane p holds bit p of every item, 64 items a word. XOR with the query's bit either
complements a plane or leaves it. Carry-save adders sum the 16 planes into a 5-bit distance in every lane, and a
population count of the lanes whose five bits equal d gives the items at distance d.
"""

import numpy as np
from numba import types

from mcmfh.hamming.intrinsics import compiled, part, popcount

BITS = 16
_BLOCK = 64


def bit_planes(rows: np.ndarray, planes: int) -> np.ndarray:
    """bool [N, P] → uint64 [blocks, planes, _BLOCK]; planes beyond P and items beyond N are zero."""
    n, width = rows.shape
    blocks = -(-n // (64 * _BLOCK))
    packed = np.zeros((planes, blocks * _BLOCK * 8), np.uint8)
    packed[:width, : -(-n // 8)] = np.packbits(np.ascontiguousarray(rows.T), axis=1, bitorder="little")
    return np.ascontiguousarray(packed.view(np.uint64).reshape(planes, blocks, _BLOCK).swapaxes(0, 1))


def fill(
    query_bits: np.ndarray,
    query_labels: np.ndarray,
    code_planes: np.ndarray,
    label_planes: np.ndarray,
    n: int,
    items: np.ndarray,
    relevant: np.ndarray,
) -> None:
    """Fill items and relevant, int64 [Q, bits + 1], from bool [Q, bits], bool [Q, C] and the planes of n items."""
    flips = np.zeros((len(query_bits), BITS), np.uint64)
    flips[:, : query_bits.shape[1]] = np.where(query_bits, np.uint64(2**64 - 1), np.uint64(0))
    totals = np.zeros((2, len(query_bits), BITS + 2), np.int64)
    compiled(_count, _SIGNATURE)(flips, query_labels.view(np.uint8), code_planes.ravel(), label_planes, totals)
    # The zero codes that fill the last block lie as far from a query as it has ones.
    totals[0, np.arange(len(query_bits)), query_bits.sum(axis=1)] -= 64 * len(code_planes) * _BLOCK - n
    items[:], relevant[:] = totals[:, :, : items.shape[1]]


@part
def _add(a: np.uint64, b: np.uint64, c: np.uint64) -> tuple[np.uint64, np.uint64]:
    # A full adder in every lane: (sum, carry).
    half = a ^ b
    return half ^ c, (a & b) | (half & c)


@part
def _sum_planes(x: np.ndarray, f: tuple[np.uint64, ...], at: int, level: np.ndarray, w: int) -> None:
    # The number of ones in word w of the 16 planes in x, complemented by f, as five bits. Flat arrays and constant
    # steps, or the compiler could not see that the planes do not overlap, and would add one word at a time.
    i = at + w
    s1, t1 = _add(x[i] ^ f[0], x[i + _BLOCK] ^ f[1], x[i + 2 * _BLOCK] ^ f[2])
    s2, t2 = _add(x[i + 3 * _BLOCK] ^ f[3], x[i + 4 * _BLOCK] ^ f[4], x[i + 5 * _BLOCK] ^ f[5])
    s3, t3 = _add(x[i + 6 * _BLOCK] ^ f[6], x[i + 7 * _BLOCK] ^ f[7], x[i + 8 * _BLOCK] ^ f[8])
    s4, t4 = _add(x[i + 9 * _BLOCK] ^ f[9], x[i + 10 * _BLOCK] ^ f[10], x[i + 11 * _BLOCK] ^ f[11])
    s5, t5 = _add(x[i + 12 * _BLOCK] ^ f[12], x[i + 13 * _BLOCK] ^ f[13], x[i + 14 * _BLOCK] ^ f[14])
    s6, t6 = _add(s1, s2, s3)
    s7, t7 = _add(s4, s5, x[i + 15 * _BLOCK] ^ f[15])
    s8, f1 = _add(t1, t2, t3)
    s9, f2 = _add(t4, t5, t6)
    s10, f3 = _add(t7, s6 & s7, s8)
    s11, e1 = _add(f1, f2, f3)
    f4 = s9 & s10
    e2 = s11 & f4
    level[w] = s6 ^ s7
    level[w + _BLOCK] = s9 ^ s10
    level[w + 2 * _BLOCK] = s11 ^ f4
    level[w + 3 * _BLOCK] = e1 ^ e2
    level[w + 4 * _BLOCK] = e1 & e2


def _count(
    flips: np.ndarray, query_labels: np.ndarray, planes: np.ndarray, labels: np.ndarray, totals: np.ndarray
) -> None:
    level, shared = np.zeros(5 * _BLOCK, np.uint64), np.zeros(_BLOCK, np.uint64)
    none, every = np.uint64(0), np.uint64(2**64 - 1)
    for block in range(labels.shape[0]):
        at = block * BITS * _BLOCK
        for q in range(flips.shape[0]):
            f = (
                flips[q, 0],
                flips[q, 1],
                flips[q, 2],
                flips[q, 3],
                flips[q, 4],
                flips[q, 5],
                flips[q, 6],
                flips[q, 7],
                flips[q, 8],
                flips[q, 9],
                flips[q, 10],
                flips[q, 11],
                flips[q, 12],
                flips[q, 13],
                flips[q, 14],
                flips[q, 15],
            )
            for w in range(_BLOCK):
                _sum_planes(planes, f, at, level, w)
            shared[:] = 0
            for number in range(labels.shape[1]):
                if query_labels[q, number]:
                    label = labels[block, number]
                    for w in range(_BLOCK):
                        shared[w] |= label[w]
            for d in range(0, BITS + 1, 2):  # an even distance and the odd one after it differ in the lowest bit only
                a, b = every if d & 2 == 0 else none, every if d & 4 == 0 else none
                c, e = every if d & 8 == 0 else none, every if d & 16 == 0 else none
                both = odd = both_shared = odd_shared = np.uint64(0)
                for w in range(_BLOCK):
                    here = (level[w + _BLOCK] ^ a) & (level[w + 2 * _BLOCK] ^ b)
                    here &= (level[w + 3 * _BLOCK] ^ c) & (level[w + 4 * _BLOCK] ^ e)
                    one = here & level[w]
                    both += popcount(here)
                    odd += popcount(one)
                    both_shared += popcount(here & shared[w])
                    odd_shared += popcount(one & shared[w])
                totals[0, q, d] += np.int64(both - odd)
                totals[0, q, d + 1] += np.int64(odd)
                totals[1, q, d] += np.int64(both_shared - odd_shared)
                totals[1, q, d + 1] += np.int64(odd_shared)


_PLANES = types.Array(types.uint64, 2, "C", readonly=True)
_SIGNATURE = types.void(
    _PLANES,
    types.Array(types.uint8, 2, "C", readonly=True),
    types.Array(types.uint64, 1, "C", readonly=True),
    types.Array(types.uint64, 3, "C", readonly=True),
    types.Array(types.int64, 3, "C"),
)
