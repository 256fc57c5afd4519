"""Receipts: what an answer was made of, so that it can be reproduced later, ties included, or shown to have changed.

A receipt holds the query's code, how it was ranked, and digests of snapshot, bundle and hits. It names no item and
holds neither report nor picture. It can be replayed as long as its snapshot is kept.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from mcmfh.search.ranking import Ask
from mcmfh.search.source import Source
from mcmfh.store import files

FORMAT = 1
NamedHits = Sequence[tuple[str, int, float | None]]  # item_id, distance and score of each hit, in order


def receipt(
    source: Source, ask: Ask, hits: NamedHits, named: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Any]:
    """The receipt of an answer; its `digest` is the sha256 of the canonical JSON of all other fields.

    named: {"archive": name} where an endpoint serves several.
    """
    fields = {
        "format": FORMAT,
        **named,
        "snapshot": source.number,
        "snapshot_digest": source.digest,
        "bundle_digest": source.document.bundle_digest,
        "code": hex_codes(ask.codes),
        "k": ask.k,
        "target": ask.target,
        "bits": ask.bits,
        "max_distance": ask.max_distance,
        "where": dict(ask.where),
        "rerank": ask.rerank,
        "logits": {modality: values.astype("<f4").tobytes().hex() for modality, values in ask.logits.items()},
        "count": len(hits),
        "hits": hits_digest(hits),
        **({"scope": dict(ask.scope)} if ask.scope else {}),
    }
    return {**fields, "digest": files.digest(fields)}


def hits_digest(hits: NamedHits) -> str:
    """sha256 of [item_id, distance, score] of each hit, in order."""
    return files.digest([list(hit) for hit in hits])


def hex_codes(codes: Mapping[str, np.ndarray]) -> dict[str, str]:
    """modality → code in hex."""
    return {modality: code.tobytes().hex() for modality, code in codes.items()}


def asked(fields: Mapping[str, Any]) -> Ask:
    """What the query of a receipt asked of its snapshot."""
    return Ask(
        codes={modality: np.frombuffer(bytes.fromhex(code), np.uint8) for modality, code in fields["code"].items()},
        k=fields["k"],
        target=fields["target"],
        bits=fields["bits"],
        max_distance=fields["max_distance"],
        where=fields["where"],
        rerank=fields["rerank"],
        logits={modality: np.frombuffer(bytes.fromhex(text), "<f4") for modality, text in fields["logits"].items()},
        scope=fields.get("scope", {}),
    )
