"""What the closed form learns from: the guide of the train pairs, by labels, or by concepts and what both sides share.

Shapes: N train pairs · G guide width.
"""

from dataclasses import dataclass

import numpy as np

from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.errors import InputError
from mcmfh.hashing.guides import guide_parts
from mcmfh.hashing.kernel_hash import group_folds
from mcmfh.hashing.label_weights import label_guide, label_weights
from mcmfh.hashing.settings import TrainSettings


@dataclass(frozen=True)
class Guide:
    rows: np.ndarray  # float32[N, G], centred
    name: str


def closed_form_guide(table: EmbeddingTable, train: np.ndarray, settings: TrainSettings) -> Guide:
    """The guide of the rows `train` bool of `table`, which has both modalities everywhere.

    Raises InputError where the table lacks what train.concepts asks for.
    """
    if settings.supervised:
        labels = table.labels[train]
        used = labels.any(0)
        names = tuple(np.array(table.label_names)[used])
        weights = label_weights(labels[:, used], names, dict(settings.family_weights))
        return Guide(label_guide(labels[:, used], names, weights), "labels")
    if settings.concepts and table.concepts is None:
        raise InputError("closed-form training needs encoded concepts; train by jobs/train.py, or set concepts: null")
    pairs = table.select(train)
    asserted = pairs.report if pairs.asserted is None else pairs.asserted
    folds = group_folds(pairs.group, settings.seed)
    parts = guide_parts(_standard(pairs.image), _standard(asserted), pairs.concepts, asserted, folds)
    return Guide(parts.mix(*settings.mix, settings.guide_width), "concepts and pairs" if parts.families else "pairs")


def _standard(x: np.ndarray) -> np.ndarray:
    standard: np.ndarray = (x - x.mean(0)) / (x.std(0) + 1e-6)
    return standard
