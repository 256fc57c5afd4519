"""Reduces samples of any depth to 8 bits."""

import numpy as np

# Single precision keeps 8 bits of values whose spread is at least this part of their size, and of this size.
_LEAST_SPREAD, _LEAST, _GREATEST = 2.0**-12, 1e-30, 1e30


def stretch(values: np.ndarray) -> np.ndarray:
    """uint8 of any numbers, scaled linearly from the least finite value (0) to the greatest (255); a constant is 0."""
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    if high <= low:
        return np.zeros(values.shape, np.uint8)
    size = max(abs(low), abs(high))
    single = size < _GREATEST and high - low > max(_LEAST, size * _LEAST_SPREAD)
    if single or (values.dtype.kind in "iu" and values.dtype.itemsize <= 2):
        filled: np.ndarray = np.nan_to_num(values.astype(np.float32), nan=low, posinf=high, neginf=low)
        grey: np.ndarray = np.rint((filled - low) * (255 / (high - low)))
        return grey.clip(0, 255).astype(np.uint8)
    # Divided by their size first: the spread of the greatest numbers is none of double precision any more.
    filled = np.nan_to_num(values.astype(np.float64), nan=low, posinf=high, neginf=low) / size
    low, spread = low / size, high / size - low / size
    grey = np.rint((filled - low) / spread * 255)
    return grey.clip(0, 255).astype(np.uint8)
