"""What the closed form learns from: the guide of the train pairs, by labels, or by concepts and what both sides share.

Shapes: N train pairs · G guide width.
"""

from dataclasses import dataclass

import numpy as np

from mcmfh.embeddings.concepts import Concepts
from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.errors import InputError
from mcmfh.hashing.guides import Parts, guide_parts
from mcmfh.hashing.kernel_hash import group_folds
from mcmfh.hashing.label_weights import label_guide, label_weights
from mcmfh.hashing.mixes import chosen_mix
from mcmfh.hashing.settings import Reading, TrainSettings
from mcmfh.hashing.teachers import unit

# Shares of concepts, fine and coarse. The network learns coarse likeness best; fine directions made its codes worse.
TEACHER_MIX = (0.4, 0.0, 0.6)
TEACHER_WIDTH = 256
# Of the softmax over the phrases of a family. The similarities of a report with all phrases are close to one another.
TEMPERATURE: dict[Reading, float] = {"reports": 0.05, "clauses": 0.07}


@dataclass(frozen=True)
class Guide:
    rows: np.ndarray  # float32[N, G], centred
    name: str
    shown: dict[str, float]  # what the choice of the mix went by, see guides.py; {} where none was chosen


def closed_form_guide(table: EmbeddingTable, train: np.ndarray, settings: TrainSettings) -> Guide:
    """The guide of the rows `train` bool of `table`, which has both modalities everywhere.

    Raises InputError where the table lacks what train.concepts asks for.
    """
    if settings.supervised:
        labels = table.labels[train]
        used = labels.any(0)
        names = tuple(np.array(table.label_names)[used])
        weights = label_weights(labels[:, used], names, dict(settings.family_weights))
        return Guide(label_guide(labels[:, used], names, weights), "labels", {})
    parts = _parts(table.select(train), settings, settings.reading)
    shares = chosen_mix(parts) if settings.mix == "auto" else settings.mix
    rows = parts.mix(*shares, settings.guide_width)
    taken = [f"{name} {share:g}" for name, share in zip(("concepts", "fine", "coarse"), shares) if share]
    return Guide(rows, ", ".join(taken), parts.shown if settings.mix == "auto" else {})


def concepts_teacher(pairs: EmbeddingTable, settings: TrainSettings) -> np.ndarray:
    """float32[N, G] unit rows: the teacher "concepts" of the network, which mixes concepts into the coarse directions.

    Raises InputError where the table lacks what train.concepts asks for.
    """
    parts = _parts(pairs, settings, "reports")
    guide: np.ndarray = unit(parts.mix(*TEACHER_MIX, TEACHER_WIDTH, centred=False))
    return guide


def _parts(pairs: EmbeddingTable, settings: TrainSettings, reading: Reading) -> Parts:
    if settings.concepts and (pairs.concepts is None or (reading == "clauses" and pairs.mentions is None)):
        raise InputError("this training needs encoded concepts; train by jobs/train.py, or set train.concepts: null")
    asserted = pairs.report if pairs.asserted is None else pairs.asserted
    scores: list[np.ndarray] = []
    if pairs.concepts is not None and settings.concepts:
        scores = pairs.concepts.by_families(_scores(pairs.concepts, asserted, pairs.mentions, reading))
    folds = group_folds(pairs.group, settings.seed)
    return guide_parts(_standard(pairs.image), _standard(asserted), scores, folds)


def _scores(concepts: Concepts, asserted: np.ndarray, mentions: np.ndarray | None, reading: Reading) -> np.ndarray:
    """float[N, C]: how clearly each report names each phrase, in units of the temperature.

    By clauses, a phrase is measured against what reports usually score: some phrases resemble every clause.
    """
    if reading == "clauses" and mentions is not None:
        scores = mentions - mentions.mean(0)
    else:
        scores = unit(asserted.astype(np.float64)) @ unit(concepts.vectors.astype(np.float64)).T
    return np.asarray(scores / TEMPERATURE[reading])


def _standard(x: np.ndarray) -> np.ndarray:
    standard: np.ndarray = (x - x.mean(0)) / (x.std(0) + 1e-6)
    return standard
