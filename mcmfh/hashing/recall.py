"""Pair recall: does a code find its own other half? The measure that needs no labels, and so chooses by default.

Shapes: Q queries · N database items · K bits.
"""

import numpy as np

CUTOFFS = (1, 5, 10)
LARGEST = 4096  # validation items that are compared with each other; more says nothing new and costs the square


def hamming_matrix(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """int16[Q, N] distances of packed codes uint8[Q, K/8] and uint8[N, K/8]."""
    a, b = (2.0 * np.unpackbits(codes, axis=1).astype(np.float32) - 1 for codes in (a, b))
    return np.rint((a.shape[1] - a @ b.T) / 2).astype(np.int16)


def pair_recall(
    distance_QN: np.ndarray, correct_QN: np.ndarray, cutoffs: tuple[int, ...] = CUTOFFS
) -> dict[int, float]:
    """Expected R@k over all orders of ties: the chance that a correct item stands among the first k.

    With m items nearer than the nearest correct one, and t items, c of them correct, at its distance, the first k
    hold s = min(k − m, t) of those t: 1 − C(t − c, s) / C(t, s).
    """
    best_Q1 = np.where(correct_QN, distance_QN.astype(np.float64), np.inf).min(1, keepdims=True)
    nearer_Q = (distance_QN < best_Q1).sum(1)
    tied_Q = (distance_QN == best_Q1).sum(1)
    correct_Q = ((distance_QN == best_Q1) & correct_QN).sum(1)
    recall = {}
    for k in cutoffs:
        slots_Q = np.clip(k - nearer_Q, 0, tied_Q)
        miss_Q = np.ones(len(tied_Q))
        for i in range(k):  # one factor of the ratio of binomials for each slot taken
            left = np.maximum(tied_Q - i, 1)
            miss_Q *= np.where(i < slots_Q, np.maximum(tied_Q - correct_Q - i, 0) / left, 1.0)
        recall[k] = float((1 - miss_Q).mean())
    return recall


def same_text(text_key: np.ndarray) -> np.ndarray:
    """bool[N, N]: equal reports are one and the same answer."""
    _, number = np.unique(text_key, return_inverse=True)
    return number[:, None] == number[None]
