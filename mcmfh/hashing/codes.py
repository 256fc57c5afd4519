"""Logits → packed codes: the one rule for what a bit is."""

import numpy as np


def pack_codes(logits: np.ndarray) -> np.ndarray:
    """uint8[B, K/8] of logits float[B, K]: a bit is 1 where its logit is > 0, bit 0 is the lowest of byte 0.

    Raises ValueError when a logit is NaN: a broken input must not become a code that looks like any other.
    """
    if np.isnan(logits).any():
        rows = np.flatnonzero(np.isnan(logits).any(1))
        raise ValueError(f"logits of {len(rows)} items are NaN (first: row {rows[0]}); check their embeddings")
    return np.packbits(logits > 0, axis=1, bitorder="little")
