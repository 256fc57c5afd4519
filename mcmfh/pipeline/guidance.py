"""The guide that towers are trained towards: which train pairs are alike, by the configured encoder's embeddings.

It is the closed form's (hashing/closed_form.py): concepts, fine and coarse directions in shares that are chosen without
labels, or with train.supervised the labels.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from mcmfh.archive.opened import Archive
from mcmfh.config import Config
from mcmfh.hashing.preparation import prepare
from mcmfh.hashing.settings import TrainSettings
from mcmfh.hashing.teachers import unit
from mcmfh.pipeline.train import embedding_table

# Of section `train`, what the guide depends on. The towers are the same for other code lengths, say.
GUIDING = ("supervised", "labels", "family_weights", "concepts", "reading", "mix")


@dataclass(frozen=True)
class Guide:
    """`rows` float32[N, G] of length 1, of the train pairs `item_id` str[N]; contents: digest of what it depends on."""

    item_id: np.ndarray
    rows: np.ndarray
    contents: str

    def beside(self, pairs: pa.Table, column: str) -> pa.Table:
        """The `pairs` that have a guide, in their order, with it as `column`."""
        at = {name: i for i, name in enumerate(self.item_id.tolist())}
        place = [at.get(name) for name in pairs["item_id"].to_pylist()]
        rows = self.rows[[i for i in place if i is not None]]
        values = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])
        return pairs.filter(pa.array([i is not None for i in place])).append_column(column, values)


def pair_guide(config: Config, archive: Archive) -> Guide:
    """The guide of the archive's train pairs.

    Raises InputError where they are not embedded, or where the closed form could not be trained on them.
    """
    asked = {name: getattr(config.train, name) for name in GUIDING}
    settings = TrainSettings(**asked, method="closed_form", seed=config.pretrain.seed)
    _, table = embedding_table(config, archive, concepts=settings.reads_concepts)
    prepared = prepare(table, settings)
    rows = unit(prepared.guide).astype(np.float32)
    return Guide(prepared.item_id, rows, prepared.fingerprint)
