"""Small pairs whose report names what its picture shows, and pretraining settings at a size for tests."""

from dataclasses import replace
from typing import Any

import numpy as np

from mcmfh.encoders.mcr_towers.vocabulary import Vocabulary, train_vocabulary
from mcmfh.pretraining.pairs import Pairs
from mcmfh.pretraining.settings import PretrainSettings

SMALL: dict[str, Any] = {
    "size": "tiny",
    "image_size": 32,
    "patch": 8,
    "context": 16,
    "embedding": 32,
    "vocabulary_size": 100,
}
LEVELS = ("dark", "grey", "bright")
SIDES = ("left", "right", "top", "bottom")


def small(**more: Any) -> PretrainSettings:
    """Tiny towers of 16 patches, in this process."""
    return PretrainSettings(**{**SMALL, "epochs": 2, "batch_size": 16, "workers": 0, **more})


def draw(n: int, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """(uint8[n, 32, 32, 3], reports): one of three levels, rising to one of four sides, with a disc somewhere."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:32, :32] - 15.5
    pixels, reports = np.empty((n, 32, 32)), []
    for picture in pixels:
        level, side = rng.integers(3), rng.integers(4)
        rise = (-x, x, -y, y)[side]
        disc = np.hypot(*(np.array([y, x]) - rng.uniform(-9, 9, (2, 1, 1)))) < 5
        picture[:] = 60 + 60 * level + rng.uniform(2, 3) * rise + 40 * disc
        reports.append(f"The picture is {LEVELS[level]} and brightest at the {SIDES[side]}.")
    grey = pixels.clip(0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, -1), reports


def guided(pairs: Pairs) -> Pairs:
    """The pairs with a guide of unit rows drawn for each."""
    rows = np.random.default_rng(3).standard_normal((len(pairs), 4))
    return replace(pairs, guide=(rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))


def make_vocabulary(context: int = 16) -> Vocabulary:
    return train_vocabulary(draw(200)[1], 100, context)


def make_pairs(n: int, seed: int = 0) -> Pairs:
    pixels, reports = draw(n, seed)
    return Pairs(pixels, make_vocabulary().padded(reports))
