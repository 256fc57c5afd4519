"""What the closed form learns from: the guide of the train pairs, by labels, or by concepts and what both sides share.

Shapes: N train pairs · G guide width.
"""

from dataclasses import dataclass

import numpy as np

from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.errors import InputError
from mcmfh.hashing.guides import Parts, guide_parts
from mcmfh.hashing.kernel_hash import group_folds
from mcmfh.hashing.label_weights import label_guide, label_weights
from mcmfh.hashing.settings import TrainSettings
from mcmfh.hashing.teachers import unit

# Shares of concepts, fine and coarse. The network learns coarse likeness best; fine directions made its codes worse.
TEACHER_MIX = (0.4, 0.0, 0.6)
TEACHER_WIDTH = 256


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
    parts = _parts(table.select(train), settings)
    return Guide(parts.mix(*settings.mix, settings.guide_width), "concepts and pairs" if parts.families else "pairs")


def concepts_teacher(pairs: EmbeddingTable, settings: TrainSettings) -> np.ndarray:
    """float32[N, G] unit rows: the teacher "concepts" of the network, which mixes concepts into the coarse directions.

    Raises InputError where the table lacks what train.concepts asks for.
    """
    guide: np.ndarray = unit(_parts(pairs, settings).mix(*TEACHER_MIX, TEACHER_WIDTH, centred=False))
    return guide


def _parts(pairs: EmbeddingTable, settings: TrainSettings) -> Parts:
    if settings.concepts and pairs.concepts is None:
        raise InputError("this training needs encoded concepts; train by jobs/train.py, or set train.concepts: null")
    asserted = pairs.report if pairs.asserted is None else pairs.asserted
    folds = group_folds(pairs.group, settings.seed)
    return guide_parts(_standard(pairs.image), _standard(asserted), pairs.concepts, asserted, folds)


def _standard(x: np.ndarray) -> np.ndarray:
    standard: np.ndarray = (x - x.mean(0)) / (x.std(0) + 1e-6)
    return standard
