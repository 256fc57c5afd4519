"""A small archive with all that evaluation looks at: studies of several items, shared texts, items of one modality."""

import numpy as np
import pytest

from mcmfh.embeddings.table import EmbeddingTable


def make_table(n: int = 120, classes: int = 4, seed: int = 0) -> EmbeddingTable:
    """Pairs of an image and a report embedding that share the classes they are drawn around."""
    random = np.random.default_rng(seed)
    labels = random.random((n, classes)) < 0.3
    labels[np.arange(n), random.integers(0, classes, n)] = True
    means = random.standard_normal((classes, 24))
    image, report = (
        (labels @ means + 0.7 * random.standard_normal((n, 24))).astype(np.float32)
        @ random.standard_normal((24, width))
        for width in (32, 20)
    )
    group = np.array([f"g{i // 3}" for i in range(n)])
    return EmbeddingTable(
        item_id=np.array([f"i{i}" for i in range(n)]),
        image=image.astype(np.float32),
        report=report.astype(np.float32),
        has_image=np.ones(n, bool),
        has_report=np.ones(n, bool),
        split=np.array(["train", "train", "train", "validation", "test", "test"])[(np.arange(n) // 3) % 6],
        group=group,
        study=np.array([f"s{i}" for i in range(n)]),
        date=np.array([f"{2010 + i // 3 % 10}-01-{1 + i % 28:02d}" for i in range(n)]),
        text_key=np.array([f"t{i - i % 2 * (i % 3 == 1)}" for i in range(n)]),
        labels=labels,
        label_names=tuple(f"label {c}" for c in range(classes)),
    )


@pytest.fixture
def table() -> EmbeddingTable:
    return make_table()


@pytest.fixture(scope="session")
def new_table():
    """`make_table`, for fixtures that outlive a test: tests may write into `table`."""
    return make_table
