"""A paired archive whose two sides speak of the same hidden topics: what a hash can learn is known beforehand.

Beside it every recipe at a size for tests.
"""

from typing import Any

import numpy as np

from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.encoders import EncoderSpec, ImagePreprocessing
from mcmfh.hashing.settings import TrainSettings

SPEC = EncoderSpec("precomputed", "planted", "planted", ImagePreprocessing(), 48, 32, "cpu")


SMALL: dict[str, Any] = {
    "hidden": 32,
    "width": 32,
    "expert_hidden": 48,
    "features": 256,
    "epochs": 4,
    "min_steps": 1,
    "batch_size": 48,
    "workers": 0,
}
RECIPES: dict[str, dict[str, Any]] = {
    "default": {},
    "paper": {"recipe": "paper"},
    "missing token": {"recipe": "paper", "missing_token": True},
    "trained voting": {"recipe": "paper", "voting": "trained"},
    "plain feed-forward": {"recipe": "paper", "experts": 1, "gating_loss": 0.0},
    "supervised": {"supervised": True},
    "ensemble": {"ensemble": 2},
    "itq": {"method": "itq"},
    "closed form": {"method": "closed_form", "concepts": None},
    "supervised closed form": {"method": "closed_form", "supervised": True},
}


def small(name: str, **more: Any) -> TrainSettings:
    """Settings of a recipe at a size for tests."""
    return TrainSettings(**{"bits": (16, 32), **RECIPES[name], **SMALL, **more})


def planted_table(
    items: int = 240, topics: int = 6, noise: float = 0.5, seed: int = 0, pictures: int = 1
) -> EmbeddingTable:
    """float32 embeddings 48 and 32 wide, one topic a study of `pictures` items; validation and test a fifth each."""
    rng = np.random.default_rng(seed)
    study = np.arange(items) // pictures
    topic = rng.integers(0, topics, items)[study]
    own = rng.standard_normal((items, 6))[study]  # what an image and its own report share beside the topic
    sides = []
    for width in (48, 32):
        hidden = np.concatenate([3 * np.eye(topics)[topic], 0.7 * own], 1)
        signal = hidden @ rng.standard_normal((hidden.shape[1], width))
        sides.append((signal + noise * rng.standard_normal((items, width)) + 2).astype(np.float32))
    name = np.array([f"item-{i}" for i in range(items)])
    return EmbeddingTable(
        item_id=name,
        image=sides[0],
        report=sides[1],
        has_image=np.ones(items, bool),
        has_report=np.ones(items, bool),
        split=np.array(["train", "train", "train", "validation", "test"])[study % 5],
        group=name[study],
        study=name[study],
        date=np.full(items, ""),
        text_key=name,
        labels=np.eye(topics, dtype=bool)[topic],
        label_names=tuple(f"topic:{i}" for i in range(topics)),
    )
