"""Trains codes on a part of an archive, in this process and without a bundle."""

import numpy as np
import torch

from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.hashing.coder import Coder, Model
from mcmfh.hashing.ensemble import trained
from mcmfh.hashing.fitting import Pairs, fit, make_optimizer
from mcmfh.hashing.model import Mcmfh
from mcmfh.hashing.preparation import Prepared, prepare
from mcmfh.hashing.settings import TrainSettings
from mcmfh.hashing.solving import solve
from mcmfh.hashing.trainee import Trainee


def trained_coder(table: EmbeddingTable, settings: TrainSettings) -> Coder:
    """The model of these settings, trained on the train pairs of `table`."""
    prepared = prepare(table, settings)
    model: Model = solve(prepared) if prepared.settings.method != "mcmfh" else trained(prepared, _network)[1]
    return Coder(model.eval(), prepared.shape)


def _network(prepared: Prepared, _: int) -> Mcmfh:
    trainee = Trainee(prepared.first_model(), prepared.settings)
    pairs = Pairs.from_rows(torch.from_numpy(prepared.rows), prepared.widths, "cpu")
    fit(trainee, make_optimizer(trainee, prepared.settings), pairs, prepared.settings, prepared.temperature)
    return trainee.model


def smaller_archive(table: EmbeddingTable, pairs: int, seed: int) -> EmbeddingTable:
    """So many train pairs at random, an eighth as many for validation (at least four), and all test items."""
    random = np.random.default_rng(seed)
    rows = [np.flatnonzero(table.split == "test")]
    for split, most in (("train", pairs), ("validation", max(4, pairs // 8))):
        rows.append(random.permutation(np.flatnonzero((table.split == split) & table.paired))[:most])
    return table.select(np.concatenate(rows))
