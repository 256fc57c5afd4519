"""The canary queries of a bundle, which a new snapshot must answer before it serves requests.

Their codes are fixed. With the same model, unchanged items must have the same distances as in the previous snapshot;
only items that were added, removed or changed may differ. A new model brings its own canary, checked on loading.
"""

import numpy as np

from mcmfh.errors import InputError
from mcmfh.search.nearest import Target
from mcmfh.search.retrieval import Retrieval
from mcmfh.search.source import CodeQuery, Source

HITS = 50
TARGETS: tuple[Target, ...] = ("image", "report")


def canary_queries(retrieval: Retrieval) -> list[tuple[str, int, np.ndarray]]:
    """(modality, bits, code uint8[bits/8]) of every canary code of the bundle whose length the snapshot has."""
    return [
        (modality, int(bits), np.frombuffer(bytes.fromhex(code), np.uint8))
        for modality, by_bits in retrieval.bundle.canary["codes"].items()
        for bits, codes in by_bits.items()
        for code in codes
        if int(bits) in retrieval.code_lengths
    ]


def check_against(old: Retrieval, new: Retrieval) -> None:
    """Raise InputError where `new` gives an unchanged item another distance than `old`, or lacks a hit it must have."""
    same_model = old.bundle.code_digest == new.bundle.code_digest
    for modality, bits, code in canary_queries(new):
        for target in TARGETS:
            query = CodeQuery({modality: code}, HITS, target, bits)
            new_hits = _distances(new.snapshot, query)
            if not same_model:
                continue
            farthest = max(new_hits.values()) if len(new_hits) >= HITS else bits + 1
            for (name, fingerprint), distance in _distances(old.snapshot, query).items():
                # A hit at the farthest distance or beyond may have been displaced by new items: no fault.
                if new_hits.get((name, fingerprint), max(distance, farthest)) == distance:
                    continue
                item = new.snapshot.item(name)
                if item is not None and item["fingerprint"] == fingerprint:
                    raise InputError(
                        f"snapshot {new.snapshot.number} answers the canary queries otherwise than "
                        f"{old.snapshot.number} for unchanged items; publish it anew, or roll back"
                    )


def _distances(snapshot: Source, query: CodeQuery) -> dict[tuple[str, str], int]:
    """(item_id, fingerprint) → distance, of the hits of `query`."""
    hits = snapshot.hits(query)
    items = snapshot.items(hits.rows.tolist())
    return {(item["item_id"], item["fingerprint"]): d for item, d in zip(items, hits.distances.tolist())}
