"""Embeddings → codes → snapshot. Encoding is never paid twice: whatever has an embedding is hashed at memory speed.

A unit of hashing is the wanted part of one stored embedding unit, so no join moves vectors between workers. Its codes
are stored and marked below runs/<code digest>; publishing gathers them into shards in item order, whatever the order in
which they were made.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import ray.data

from mcmfh import storage
from mcmfh.archive.quarantine import quarantine_table
from mcmfh.snapshots import units
from mcmfh.snapshots.embeddings import locate
from mcmfh.snapshots.shards import code_column

_KEYS = ["item_id", "fingerprint", "row", "reason", "report"]


@dataclass(frozen=True)
class HashUnit:
    """Rows `positions` of the embedding unit `source`, hashed under the name `digest`."""

    source: str
    positions: np.ndarray
    digest: str


def run_folder(root: str, code_digest: str) -> str:
    return storage.join(root, "runs", code_digest)


def plan_hashing(embeddings: str, items: pa.Table) -> tuple[list[HashUnit], pa.Table]:
    """(units that hold `items`, quarantine rows of those that could not be embedded).

    items: manifest rows with fingerprint, all of them through the embedding stage.
    """
    place = locate(embeddings, items)
    if (place.unit < 0).any():
        raise RuntimeError(f"{int((place.unit < 0).sum())} items have no embedding; run the embedding stage first")
    failed = np.array([why is not None for why in place.reason], bool)
    lost = items.filter(pa.array(failed))
    quarantined = quarantine_table(
        {"item_id": item, "row": row, "reason": why, "digest": fingerprint}
        for item, row, fingerprint, why in zip(
            *(lost[name].to_pylist() for name in ("item_id", "row", "fingerprint")), place.reason[failed]
        )
    )
    plan = []
    pairs = list(zip(items["item_id"].to_pylist(), items["fingerprint"].to_pylist()))
    for number in np.unique(place.unit[~failed]):
        rows = np.flatnonzero((place.unit == number) & ~failed)
        rows = rows[np.argsort(place.position[rows])]
        name = storage.digest([pairs[row] for row in rows])
        plan.append(HashUnit(place.units[number], place.position[rows], name))
    return plan, quarantined


def hash_units(embeddings: str, folder: str, bundle: str, plan: list[HashUnit]) -> Iterator[int]:
    """Hash the units of `plan` that have no marker below `folder`; yields the rows of each as it finishes."""
    done = set(units.done_units(folder))
    todo = [
        {"source": unit.source, "positions": unit.positions.tolist(), "unit": unit.digest}
        for unit in plan
        if unit.digest not in done
    ]
    if not todo:
        return
    hashed = ray.data.from_items(todo, override_num_blocks=len(todo)).map_batches(
        UnitHasher,
        fn_constructor_args=(bundle, embeddings, folder),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=1),
        num_cpus=1,
    )
    for summary in hashed.iter_rows():
        yield int(summary["rows"])


class UnitHasher:
    """An actor that holds the hash heads; the encoder's weights are not needed."""

    def __init__(self, bundle: str, embeddings: str, folder: str):
        from mcmfh.hashing import load_bundle

        self.bundle = load_bundle(bundle)
        self.embeddings = embeddings
        self.folder = folder

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        source = units.read_unit(self.embeddings, str(batch["source"][0]))
        source = source.take(pa.array(np.asarray(batch["positions"][0]), pa.int64()))
        table = source.select(_KEYS)
        for modality in ("image", "report"):
            column = source[f"{modality}_embedding"].combine_chunks()
            present = column.is_valid().to_numpy(zero_copy_only=False)
            width = column.type.list_size
            vectors = column.drop_null().flatten().to_numpy().reshape(-1, width)
            for bits in self.bundle.bits:
                codes = (
                    self.bundle.hash_embeddings(**{modality: vectors}, bits=bits)[modality]
                    if len(vectors)
                    else np.empty((0, bits // 8), np.uint8)
                )
                packed = iter(codes)
                values = [next(packed).tobytes() if there else None for there in present]
                table = table.append_column(code_column(modality, bits), pa.array(values, pa.binary(bits // 8)))
        marker = units.write_unit(self.folder, str(batch["unit"][0]), table)
        return {"rows": [marker["rows"]]}


def gather(folder: str, plan: list[HashUnit], items: pa.Table, keep_reports: bool) -> pa.Table | None:
    """Shard rows of the units of `plan` in the order of sha256(item_id); None where the plan is empty.

    items: the manifest rows that the units hold; what is shown and filtered on is taken from them.
    """
    if not plan:
        return None
    hashed = pa.concat_tables(list(units.read_units(folder, [unit.digest for unit in plan])))
    ids = hashed["item_id"].to_pylist()
    order = sorted(range(len(ids)), key=lambda i: hashlib.sha256(ids[i].encode()).digest())
    hashed = hashed.take(pa.array(order, pa.int64()))
    where = {item: i for i, item in enumerate(items["item_id"].to_pylist())}
    manifest = items.take(pa.array([where[ids[i]] for i in order], pa.int64()))
    reports = hashed["report"] if keep_reports else pa.nulls(hashed.num_rows, pa.string())
    manifest = manifest.drop_columns(["report", "row"]).append_column("report", reports)
    for name in hashed.column_names:
        if "." in name:
            manifest = manifest.append_column(name, hashed[name])
    return manifest
