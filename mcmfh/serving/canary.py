"""The canary queries of a bundle, asked of a new snapshot before it may answer anybody.

Their codes are fixed, so the same model must find the same items at the same distances as in the snapshot before;
only items that were added, removed or changed may differ. A new model has its own canary, checked when it is loaded.
"""

import numpy as np

from mcmfh.errors import InputError
from mcmfh.search.nearest import Target
from mcmfh.search.retrieval import Retrieval
from mcmfh.search.source import Question, Source

HITS = 50
TARGETS: tuple[Target, ...] = ("image", "report")


def canary_queries(retrieval: Retrieval) -> list[tuple[str, int, np.ndarray]]:
    """(modality, bits, code uint8[bits/8]) of every canary code of the bundle that the snapshot can be asked."""
    return [
        (modality, int(bits), np.frombuffer(bytes.fromhex(code), np.uint8))
        for modality, by_bits in retrieval.bundle.canary["codes"].items()
        for bits, codes in by_bits.items()
        for code in codes
        if int(bits) in retrieval.bits_known
    ]


def check_against(old: Retrieval, new: Retrieval) -> None:
    """Raise InputError where `new` finds an unchanged item at another distance than `old`, or not where it must."""
    same_model = old.bundle.code_digest == new.bundle.code_digest
    for modality, bits, code in canary_queries(new):
        for target in TARGETS:
            question = Question({modality: code}, HITS, target, bits)
            found = _found(new.snapshot, question)
            if not same_model:
                continue
            farthest = max(found.values()) if len(found) >= HITS else bits + 1
            before = _found(old.snapshot, question)
            for (name, fingerprint), distance in before.items():
                # Crowded out by others at the edge is no fault.
                if found.get((name, fingerprint), max(distance, farthest)) == distance:
                    continue
                item = new.snapshot.item(name)
                if item is not None and item["fingerprint"] == fingerprint:
                    raise InputError(
                        f"snapshot {new.snapshot.number} answers the canary queries otherwise than "
                        f"{old.snapshot.number} for unchanged items; publish it anew, or roll back"
                    )


def _found(snapshot: Source, question: Question) -> dict[tuple[str, str], int]:
    """(item_id, fingerprint) → distance of the nearest HITS."""
    hits = snapshot.find(question)
    items = snapshot.shown(hits.rows.tolist())
    return {(item["item_id"], item["fingerprint"]): d for item, d in zip(items, hits.distances.tolist())}
