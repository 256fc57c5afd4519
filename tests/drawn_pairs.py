"""Small pairs whose report names what its picture shows, and pretraining settings at a size for tests."""

import numpy as np

from mcmfh.pretraining.pairs import Pairs
from mcmfh.pretraining.settings import PretrainSettings
from mcmfh.pretraining.vocabulary import Vocabulary, train_vocabulary

SMALL = {"size": "tiny", "image_size": 32, "patch": 8, "context": 16, "embedding": 32, "vocabulary_size": 100}
PLACES = ("upper left", "upper right", "lower left", "lower right")
SHAPES = ("bright nodule", "dark cyst", "fine stripes")


def small(**more) -> PretrainSettings:
    """Tiny towers of 16 patches, in this process."""
    return PretrainSettings(**{**SMALL, "epochs": 2, "batch_size": 16, "workers": 0, **more})


def draw(n: int, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """(uint8[n, 32, 32, 3], reports): one of three shapes in one of four quarters of a noisy square."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(110, 8, (n, 32, 32))
    reports = []
    for picture in pixels:
        place, shape = rng.integers(4), rng.integers(3)
        top, left = 16 * (place // 2) + rng.integers(5), 16 * (place % 2) + rng.integers(5)
        y, x = np.mgrid[:11, :11] - 5
        value = (120, -90, 90 * (x % 4 < 2))[shape] * (x * x + y * y < 30)
        picture[top : top + 11, left : left + 11] += value
        reports.append(f"There is a {SHAPES[shape]} in the {PLACES[place]} quarter.")
    grey = pixels.clip(0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, -1), reports


def make_vocabulary(context: int = 16) -> Vocabulary:
    return train_vocabulary(draw(200)[1], 100, context)


def make_pairs(n: int, seed: int = 0) -> Pairs:
    pixels, reports = draw(n, seed)
    return Pairs(pixels, make_vocabulary().padded(reports))
