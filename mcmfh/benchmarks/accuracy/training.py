"""Trains codes on a part of an archive, in this process and without a bundle."""

import numpy as np
import torch

from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.hashing.coder import Coder
from mcmfh.hashing.fitting import Pairs, fit, make_optimizer
from mcmfh.hashing.preparation import prepare
from mcmfh.hashing.settings import TrainSettings
from mcmfh.hashing.trainee import Trainee


def trained_coder(table: EmbeddingTable, settings: TrainSettings) -> Coder:
    """The model of these settings, trained on the train pairs of `table`."""
    prepared = prepare(table, settings)
    trainee = Trainee(prepared.first_model(), prepared.settings)
    pairs = Pairs.from_rows(torch.from_numpy(prepared.rows), prepared.widths, "cpu")
    fit(trainee, make_optimizer(trainee, prepared.settings), pairs, prepared.settings, prepared.temperature)
    return Coder(trainee.model.eval(), prepared.shape)


def smaller_archive(table: EmbeddingTable, pairs: int, seed: int) -> EmbeddingTable:
    """So many train pairs at random, an eighth as many for validation (at least four), and all test items."""
    random = np.random.default_rng(seed)
    rows = [np.flatnonzero(table.split == "test")]
    for split, most in (("train", pairs), ("validation", max(4, pairs // 8))):
        rows.append(random.permutation(np.flatnonzero((table.split == split) & table.paired))[:most])
    return table.select(np.concatenate(rows))
