"""Reuse of embeddings: what an encoder would see again is not encoded again.

That is an item whose files look new (copied, restored, touched) and hold the same pixels and text. It is also an item
that an earlier version of this software embedded, where pixels and text still come out the same. The plan says where
such an item was embedded last. Whether they are the same is known once the item is read.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from mcmfh.embeddings import units
from mcmfh.embeddings.earlier import needs_proof
from mcmfh.encoders import EncoderSpec
from mcmfh.store.layout import embeddings_beside

# Modality → the digest of what the encoder sees of an item.
SEEN = {"image": "pixels_sha256", "report": "report_sha256"}


@dataclass
class Reused:
    """Stored vectors of one modality; zero where there is none."""

    rows: np.ndarray  # bool[N]: has a stored vector
    vectors: np.ndarray  # float32[N, D]
    unproven: np.ndarray  # bool[N]: of these, the vectors that other versions of libraries computed


def stored_vectors(block: Mapping[str, Any], folder: str, spec: EncoderSpec) -> dict[str, Reused]:
    """For each modality, the vectors that are stored for what a block's rows hold.

    block: "earlier_encoder", "earlier_unit" (names or "") and "earlier_row", and the columns of SEEN, one value a row.
    folder: the embeddings of `spec`; those of other encoders lie beside it.
    """
    rows, widths = len(block["earlier_unit"]), {"image": spec.image_width, "report": spec.report_width}
    reused = {
        name: Reused(np.zeros(rows, bool), np.zeros((rows, width), np.float32), np.zeros(rows, bool))
        for name, width in widths.items()
    }
    for encoder, unit in sorted({*zip(block["earlier_encoder"], block["earlier_unit"])}):
        of_unit = np.flatnonzero((block["earlier_unit"] == unit) & (block["earlier_encoder"] == encoder))
        earlier = embeddings_beside(folder, encoder)
        columns = [column for name in widths for column in (SEEN[name], f"{name}_embedding")]
        try:
            table = units.read_unit(earlier, unit, columns) if unit else None
        except FileNotFoundError:  # deleted after the plan was made
            table = None
        if table is None:
            continue
        table = table.take(pa.array(block["earlier_row"][of_unit]))
        for name, target in reused.items():
            digests, vectors = table[SEEN[name]].to_pylist(), table[f"{name}_embedding"].combine_chunks()
            same = np.array([bool(now) and now == then for now, then in zip(block[SEEN[name]][of_unit], digests)])
            same &= vectors.is_valid().to_numpy(zero_copy_only=False)
            target.rows[of_unit[same]] = True
            target.unproven[of_unit[same]] = encoder != spec.digest and needs_proof(earlier, spec)
            target.vectors[of_unit[same]] = (
                vectors.filter(pa.array(same)).flatten().to_numpy().reshape(-1, widths[name])
            )
    return reused


def proven(reused: Reused, encode: Callable[[np.ndarray], np.ndarray], sample: int) -> Reused:
    """`reused` without the vectors of other library versions, unless a sample of them comes out the same to the bit.

    encode: positions int[n] of a block's rows → float32[n, D]. sample: how many vectors of a block are compared.
    """
    chosen = np.flatnonzero(reused.unproven)[:sample]
    if len(chosen) and encode(chosen).tobytes() != reused.vectors[chosen].tobytes():
        rows = reused.rows & ~reused.unproven
        return Reused(rows, np.where(rows[:, None], reused.vectors, np.float32(0)), np.zeros_like(rows))
    return reused
