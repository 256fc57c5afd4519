"""What can be evaluated: anything that hashes a table of embeddings."""

from typing import Protocol

import numpy as np

from mcmfh.embeddings.table import EmbeddingTable


class Hasher(Protocol):
    """A trained method of any kind: the MCMFH bundle, a baseline, a real-valued space.

    `hash` returns one row an item of the table for each of these that the method has, as codes uint8[N, K/8] or, for a
    method that does not hash, vectors float[N, D] (ranked by cosine):

    - "image", "report": from that modality alone. Changing the other one changes nothing.
    - "fused": from both; an archive item that really has both may be stored under it.
    - "paired_image", "paired_report": a query that was fused with its own partner. Leaky, for comparison only.

    Rows of items that lack the modality are there, and ignored.
    """

    def hash(self, table: EmbeddingTable) -> dict[str, np.ndarray]: ...
