"""Reuse of embeddings: an item whose files look new (copied, restored, touched) but hold the same bytes is not encoded.

The plan says where such an item was embedded last. Whether its bytes are the same is known once they are read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from mcmfh.embeddings import units


@dataclass
class Reused:
    """Stored vectors of one modality; zero where there is none."""

    rows: np.ndarray  # bool[N]: has a stored vector
    vectors: np.ndarray  # float32[N, D]


def stored_vectors(block: Mapping[str, Any], folder: str, widths: Mapping[str, int]) -> dict[str, Reused]:
    """For each modality of `widths`, the vectors that the embeddings `folder` holds for the contents of a block's rows.

    block: "earlier_unit" (a name or ""), "earlier_row" and "<modality>_sha256", one a row.
    """
    rows = len(block["earlier_unit"])
    reused = {name: Reused(np.zeros(rows, bool), np.zeros((rows, width), np.float32)) for name, width in widths.items()}
    for unit in sorted(set(block["earlier_unit"]) - {""}):
        of_unit = np.flatnonzero(block["earlier_unit"] == unit)
        columns = [f"{name}_{what}" for name in widths for what in ("sha256", "embedding")]
        try:
            table = units.read_unit(folder, unit, columns)
        except FileNotFoundError:  # deleted after the plan was made
            continue
        table = table.take(pa.array(block["earlier_row"][of_unit]))
        for name, target in reused.items():
            digests, vectors = table[f"{name}_sha256"].to_pylist(), table[f"{name}_embedding"].combine_chunks()
            same = np.array([bool(now) and now == then for now, then in zip(block[f"{name}_sha256"][of_unit], digests)])
            same &= vectors.is_valid().to_numpy(zero_copy_only=False)
            target.rows[of_unit[same]] = True
            target.vectors[of_unit[same]] = (
                vectors.filter(pa.array(same)).flatten().to_numpy().reshape(-1, widths[name])
            )
    return reused
