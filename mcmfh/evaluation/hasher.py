"""The interface of what can be evaluated: it hashes a table of embeddings."""

from typing import Protocol

import numpy as np

from mcmfh.embeddings.table import EmbeddingTable


class Hasher(Protocol):
    """A trained method of any kind: the MCMFH bundle, a baseline, a real-valued space.

    `hash` returns codes uint8[N, K/8] or, of a method that does not hash, vectors float[N, D] (ranked by cosine). It
    has an entry, one row an item of the table, for each of these that the method gives:

    - "image", "report": from that modality alone. Changing the other one changes nothing.
    - "fused": from both; an archive item that really has both may be stored under it.
    - "paired_image", "paired_report": a query that was fused with its own partner. Leaky, for comparison only.

    Items that lack a modality have a row too, which is ignored.
    """

    def hash(self, table: EmbeddingTable) -> dict[str, np.ndarray]: ...
