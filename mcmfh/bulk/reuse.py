"""What need not be encoded: an item whose files look new (copied, restored, touched) and hold what they held before.

The plan says where such an item was embedded last; whether its bytes are the same is known once they are read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from mcmfh.embeddings import units


@dataclass
class Known:
    """Vectors of one modality, 0 but for the rows that are known."""

    rows: np.ndarray  # bool[N]
    vectors: np.ndarray  # float32[N, D]


def embedded_before(block: Mapping[str, Any], folder: str, widths: Mapping[str, int]) -> dict[str, Known]:
    """For each modality of `widths` what the units in the embeddings `folder` hold of the rows of a block.

    block: "earlier_unit" (a name or ""), "earlier_row" and "<modality>_sha256", one a row.
    """
    rows = len(block["earlier_unit"])
    found = {name: Known(np.zeros(rows, bool), np.zeros((rows, width), np.float32)) for name, width in widths.items()}
    for unit in sorted(set(block["earlier_unit"]) - {""}):
        here = np.flatnonzero(block["earlier_unit"] == unit)
        columns = [f"{name}_{what}" for name in widths for what in ("sha256", "embedding")]
        try:
            table = units.read_unit(folder, unit, columns)
        except FileNotFoundError:  # taken by a gc since the plan was made
            continue
        table = table.take(pa.array(block["earlier_row"][here]))
        for name, of in found.items():
            digests, vectors = table[f"{name}_sha256"].to_pylist(), table[f"{name}_embedding"].combine_chunks()
            same = np.array([bool(now) and now == then for now, then in zip(block[f"{name}_sha256"][here], digests)])
            same &= vectors.is_valid().to_numpy(zero_copy_only=False)
            of.rows[here[same]] = True
            of.vectors[here[same]] = vectors.filter(pa.array(same)).flatten().to_numpy().reshape(-1, widths[name])
    return found
