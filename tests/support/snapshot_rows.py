"""Small hand-made archives of random codes, for the tests of publishing and searching."""

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mcmfh.snapshots import shards
from mcmfh.snapshots.document import Model, Publication
from mcmfh.snapshots.publish import Quarantine, base, publish

MODEL = Model("file:///bundle", "b" * 64, "c" * 64, "e" * 64, (16,))
FILTERS = ("modality", "year")


def rows(names: list[str], seed: int = 0, version: str = "1") -> pa.Table:
    """Shard rows with random 16-bit codes; every fifth item lacks a report, every seventh an image."""
    names = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    # Few distinct codes, so that ties abound.
    codes = {m: np.random.default_rng([seed, i]).integers(0, 8, (len(names), 2), np.uint8) for i, m in enumerate("ir")}

    def column(modality: str, lacking: int) -> pa.Array:
        values = [
            None if int(name[1:]) % lacking == 0 else code.tobytes() for name, code in zip(names, codes[modality])
        ]
        return pa.array(values, pa.binary(2))

    number = [int(name[1:]) for name in names]
    return pa.table(
        {
            "item_id": names,
            "fingerprint": [f"{name}-{version}" for name in names],
            "study_id": [f"s{n // 3}" for n in number],
            "modality": pa.array([("CT", "MR", None)[n % 3] for n in number], pa.string()),
            "year": pa.array([2000 + n % 20 for n in number], pa.int64()),
            "image_uri": pa.array([None] * len(names), pa.string()),
            "labels": pa.array([["a"]] * len(names), pa.list_(pa.string())),
            "date": pa.array([None] * len(names), pa.string()),
            "report": [f"report of {name}" for name in names],
            "image.16": column("i", 7),
            "report.16": column("r", 5),
        }
    )


def publish_rows(
    root: str,
    table: pa.Table,
    listed: list[str] | None = None,
    known: list[str] | None = None,
    model: Model = MODEL,
) -> Any:
    """Publish `table` on the head. Items of `known` that are not `listed` are removed: by default, none."""
    before = base(root, model.code_digest, True)
    gone = set(known or []) - set(listed or known or [])
    replaced = pa.array(sorted(gone.union(table["item_id"].to_pylist())))
    removed = {}
    for shard in before.shards if before else ():
        holding = pc.is_in(shards.read_items(root, shard)["item_id"], value_set=replaced).to_numpy()
        removed[shard.items] = shards.pack_bits(holding)
    shard = shards.write_shard(root, table, FILTERS)
    if before and shard in before.shards:
        removed = {}
    return publish(Publication(root, "", model, before, FILTERS), [shard], removed, Quarantine())
