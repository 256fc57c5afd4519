"""The learning rate of both trainings, step by step."""

import math


def one_cycle(step: int, total: int, peak: float) -> float:
    """Learning rate of `step` in [0, total): cosine up from peak/25 in the first 30 %, cosine down to peak/25·10⁻⁴
    (Smith & Topin 2018, the shape of torch's OneCycleLR)."""
    turn = max(0.3 * total - 1, 1e-9)
    low, share = (peak / 25, 1 - step / turn) if step <= turn else (peak / 25e4, (step - turn) / (total - 1 - turn))
    return low + (peak - low) * (1 + math.cos(math.pi * share)) / 2
