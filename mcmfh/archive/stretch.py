"""Samples of any depth → 8 bits."""

import numpy as np


def stretch(values: np.ndarray) -> np.ndarray:
    """Any numbers → uint8, linearly from the least finite value (0) to the greatest (255); a constant becomes 0."""
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    if high <= low:
        return np.zeros(values.shape, np.uint8)
    scaled = (np.nan_to_num(values.astype(np.float32), nan=low, posinf=high, neginf=low) - low) * (255 / (high - low))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
