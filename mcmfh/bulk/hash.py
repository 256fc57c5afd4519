"""Embeddings → codes → shards. Encoding is never paid twice: whatever has an embedding is hashed at memory speed.

A shard is hashed as a whole by one task, from the stored embeddings of its items, and marked below runs/<code digest>.
Its rows stand in item order, so it does not matter in which order, or how often, anything was encoded.
"""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from mcmfh.archive.order import KeyRange, keys
from mcmfh.embeddings import units
from mcmfh.embeddings.partitions import read_rows
from mcmfh.hashing import load_bundle
from mcmfh.hashing.bundle import Bundle
from mcmfh.hashing.codes import pack_codes
from mcmfh.snapshots import shards
from mcmfh.store import files

# Rows a pass, always: matrix kernels round differently for different shapes.
BATCH = 1024
MODALITIES = ("image", "report")


def run_folder(root: str, code_digest: str) -> str:
    return files.join(root, "runs", code_digest)


def hash_shard(
    root: str,
    bundle_uri: str,
    embeddings: str,
    wanted: Sequence[str],
    filters: Sequence[str],
    keep_reports: bool,
    read_unit: units.ReadUnit = units.read_unit,
) -> dict[str, Any]:
    """Hash the rows of the files `wanted` (neighbouring ranges) into a shard, unless that is done; its document."""
    bundle = _bundle(bundle_uri)
    rows = pa.concat_tables([read_rows(uri) for uri in wanted])
    marker = files.join(run_folder(root, bundle.code_digest), "done", f"{_name(rows, keep_reports)}.json")
    if files.exists(marker):
        done = files.read_json(marker)
        if all(files.exists(files.join(root, "shards", name)) for name in shards.shard_files(done)):
            return done
    table = _hashed(rows, bundle, embeddings, filters, keep_reports, read_unit)
    done = shards.write_shard(root, table, filters).document()
    files.create(marker, files.canonical_json(done))
    return done


@lru_cache(maxsize=1)
def _bundle(uri: str) -> Bundle:
    return load_bundle(uri)


def _name(rows: pa.Table, keep_reports: bool) -> str:
    """The keys that `rows` span and the sha256 of all that makes their shard."""
    state = hashlib.sha256(str(keep_reports).encode())
    for batch in (
        rows.drop_columns(["row", "report", "unit", "position"]).combine_chunks().to_batches(max_chunksize=1 << 16)
    ):
        state.update(batch.serialize())
    first, last = keys(rows["item_id"][:1])[0], keys(rows["item_id"][-1:])[0]
    return f"{KeyRange(int(first), int(last))}-{state.hexdigest()}"


def _hashed(
    rows: pa.Table,
    bundle: Bundle,
    embeddings: str,
    filters: Sequence[str],
    keep_reports: bool,
    read_unit: units.ReadUnit,
) -> pa.Table:
    """The rows of a shard (see `shards`): the manifest's columns, and the reports' texts from the units."""
    present = {modality: np.zeros(rows.num_rows, bool) for modality in MODALITIES}
    codes = {(m, bits): np.zeros((rows.num_rows, bits // 8), np.uint8) for m in MODALITIES for bits in bundle.bits}
    units_of_rows = rows["unit"].combine_chunks().dictionary_encode()
    number, position = units_of_rows.indices.to_numpy(), rows["position"].to_numpy()
    order = np.argsort(number, kind="stable")
    reports: list[pa.ChunkedArray] = []
    columns = [f"{modality}_embedding" for modality in MODALITIES] + ["report"] * keep_reports
    ends = np.cumsum(np.bincount(number))
    tables = units.read_units(embeddings, units_of_rows.dictionary.to_pylist(), columns, read_unit)
    for table, start, end in zip(tables, [0, *ends], ends):
        here = order[start:end]
        table = table.take(pa.array(position[here]))
        for modality in MODALITIES:
            column = table[f"{modality}_embedding"].combine_chunks()
            there = column.is_valid().to_numpy(zero_copy_only=False)
            present[modality][here] = there
            vectors = column.drop_null().flatten().to_numpy().reshape(-1, column.type.list_size)
            for first in range(0, len(vectors), BATCH):
                batch = vectors[first : first + BATCH]
                at = here[there][first : first + BATCH]
                full = np.zeros((BATCH, vectors.shape[1]), np.float32)
                full[: len(batch)] = batch
                logits = bundle.all_logits(full, None) if modality == "image" else bundle.all_logits(None, full)
                for bits, values in logits[modality].items():
                    codes[modality, bits][at] = pack_codes(values[: len(batch)])
        if keep_reports:
            reports.append(table["report"])
    back = pa.array(np.argsort(order))
    report = pa.chunked_array([chunk for one in reports for chunk in one.chunks], pa.string())
    result = rows.drop_columns(["row", "unit", "position", "report"])
    result = result.append_column("report", report.take(back) if keep_reports else pa.nulls(len(rows), pa.string()))
    for (modality, bits), values in codes.items():
        column = shards.code_array(values, present[modality])
        result = result.append_column(shards.code_column(modality, bits), column)
    return result
