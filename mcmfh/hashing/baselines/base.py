"""The interface of every baseline: fitted on one table of embeddings, it hashes any table of the same encoder.

Shapes: N items · D embedding width · K bits. All baselines see the same embeddings, standardised by the mean and
deviation of the training items, and the same splits as the method they are compared with.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.errors import InputError
from mcmfh.evaluation.hasher import Hasher
from mcmfh.hashing.spread import spread


class Baseline(Protocol):
    """`supervised`: it uses labels."""

    name: str
    supervised: bool

    def fit(self, train: EmbeddingTable, bits: int, seed: int) -> Hasher:
        """Fit on the pairs of `train`; `seed` determines the result. Raises InputError when the pairs are too few."""
        ...


@dataclass(frozen=True)
class Standardisation:
    mean: np.ndarray  # float32[D]
    deviation: np.ndarray  # float32[D]

    @classmethod
    def of(cls, rows: np.ndarray) -> "Standardisation":
        return cls(rows.mean(0), spread(rows).astype(rows.dtype))

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        standard: np.ndarray = (rows - self.mean) / self.deviation
        return standard


@dataclass(frozen=True)
class Pairs:
    """The training pairs, standardised, and the standardisation to apply to other tables."""

    image: np.ndarray  # float32[N, D_I]
    report: np.ndarray  # float32[N, D_T]
    labels: np.ndarray  # bool[N, C]
    standard_image: Standardisation
    standard_report: Standardisation

    @classmethod
    def of(cls, train: EmbeddingTable, labelled: bool = False) -> "Pairs":
        """The rows of `train` that have both modalities, and a label if `labelled`."""
        pairs = train.select(train.paired & (train.labels.any(1) if labelled else True))
        if len(pairs) < 2:
            kind = "pairs with labels" if labelled else "pairs of an image and a report"
            raise InputError(f"the training split has {len(pairs)} {kind}; a baseline needs at least 2")
        image, report = Standardisation.of(pairs.image), Standardisation.of(pairs.report)
        return cls(image(pairs.image), report(pairs.report), pairs.labels, image, report)

    def standardised(self, table: EmbeddingTable) -> tuple[np.ndarray, np.ndarray]:
        """(image [N, D_I], report [N, D_T]) of any table, standardised by the training items."""
        return self.standard_image(table.image), self.standard_report(table.report)
