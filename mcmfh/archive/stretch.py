"""Reduces samples of any depth to 8 bits."""

import numpy as np


def stretch(values: np.ndarray) -> np.ndarray:
    """uint8 of any numbers, scaled linearly from the least finite value (0) to the greatest (255); a constant is 0."""
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    if high <= low:
        return np.zeros(values.shape, np.uint8)
    filled = np.nan_to_num(values.astype(np.float32), nan=low, posinf=high, neginf=low)
    grey: np.ndarray = np.rint((filled - low) * (255 / (high - low)))
    return grey.clip(0, 255).astype(np.uint8)
