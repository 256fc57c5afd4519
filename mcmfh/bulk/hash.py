"""Embeddings → codes → shards. Whatever has an embedding is hashed at memory speed; nothing is encoded here.

One task hashes a whole shard from the stored embeddings of its items and marks it. The shard's rows are in item order,
so the order and number of encodings do not change it.
"""

import hashlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pyarrow as pa

from mcmfh.archive.modality import MODALITIES
from mcmfh.archive.order import KeyRange, keys
from mcmfh.embeddings import units
from mcmfh.embeddings.partitions import read_rows
from mcmfh.hashing import load_bundle
from mcmfh.hashing.bundle import Bundle
from mcmfh.hashing.codes import pack_codes
from mcmfh.snapshots import shards
from mcmfh.snapshots.document import Publication
from mcmfh.snapshots.shards import Shard
from mcmfh.store import documents, files, layout
from mcmfh.store.sealed import stored

# Every pass has this many rows, because matrix kernels round differently for different shapes.
BATCH = 1024


def hash_shard(publication: Publication, wanted: Sequence[str], read_unit: units.ReadUnit = units.read_unit) -> Shard:
    """Hash the rows of the files `wanted` (neighbouring ranges) into a shard, unless that has been done before."""
    root, bundle = publication.root, _bundle(publication.model.bundle)
    rows = pa.concat_tables([read_rows(uri) for uri in wanted])
    marker = layout.shard_marker(root, bundle.code_digest, _name(rows, publication.keep_reports))
    if document := stored(marker):
        shard = Shard(**document)
        if all(files.exists(layout.archive_file(root, layout.SHARDS, name)) for name in shard.files()):
            return shard
    shard = shards.write_shard(root, _hashed(rows, bundle, publication, read_unit), publication.filters)
    documents.create(marker, shard.to_json())
    return shard


@lru_cache(maxsize=1)
def _bundle(uri: str) -> Bundle:
    return load_bundle(uri)


def _name(rows: pa.Table, keep_reports: bool) -> str:
    """The name of a shard's marker: the keys that `rows` span, and the sha256 of everything the shard is made of."""
    state = hashlib.sha256(str(keep_reports).encode())
    for batch in (
        rows.drop_columns(["row", "report", "unit", "position"]).combine_chunks().to_batches(max_chunksize=1 << 16)
    ):
        state.update(batch.serialize())
    first, last = keys(rows["item_id"][:1])[0], keys(rows["item_id"][-1:])[0]
    return f"{KeyRange(int(first), int(last))}-{state.hexdigest()}"


def _hashed(rows: pa.Table, bundle: Bundle, publication: Publication, read_unit: units.ReadUnit) -> pa.Table:
    """The rows of a shard (see `shards`): the manifest's columns, and the reports' texts from the units."""
    present = {modality: np.zeros(rows.num_rows, bool) for modality in MODALITIES}
    codes = {(m, bits): np.zeros((rows.num_rows, bits // 8), np.uint8) for m in MODALITIES for bits in bundle.bits}
    units_of_rows = rows["unit"].combine_chunks().dictionary_encode()
    number, position = units_of_rows.indices.to_numpy(), rows["position"].to_numpy()
    order = np.argsort(number, kind="stable")
    reports: list[pa.Array] = []
    columns = [f"{modality}_embedding" for modality in MODALITIES] + ["report"] * publication.keep_reports
    ends = np.cumsum(np.bincount(number))
    tables = units.read_units(publication.embeddings, units_of_rows.dictionary.to_pylist(), columns, read_unit)
    for table, start, end in zip(tables, [0, *ends], ends):
        of_unit = order[start:end]
        table = table.take(pa.array(position[of_unit]))
        for modality in MODALITIES:
            column = table[f"{modality}_embedding"].combine_chunks()
            embedded = column.is_valid().to_numpy(zero_copy_only=False)
            present[modality][of_unit] = embedded
            vectors = column.drop_null().flatten().to_numpy().reshape(-1, column.type.list_size)
            for first in range(0, len(vectors), BATCH):
                batch = vectors[first : first + BATCH]
                targets = of_unit[embedded][first : first + BATCH]
                full = np.zeros((BATCH, vectors.shape[1]), np.float32)
                full[: len(batch)] = batch
                logits = bundle.all_logits(full, None) if modality == "image" else bundle.all_logits(None, full)
                for bits, values in logits[modality].items():
                    codes[modality, bits][targets] = pack_codes(values[: len(batch)])
        if publication.keep_reports:
            reports += table["report"].chunks
    if publication.keep_reports:
        report = pa.chunked_array(reports, pa.string()).take(pa.array(np.argsort(order)))
    else:
        report = pa.nulls(len(rows), pa.string())
    result = rows.drop_columns(["row", "unit", "position", "report"]).append_column("report", report)
    for (modality, bits), values in codes.items():
        column = shards.code_array(values, present[modality])
        result = result.append_column(shards.code_column(modality, bits), column)
    return result
