"""What is still to do, cut into units: the part of a job that decides everything before anything heavy starts.

A plan is a Parquet file with one row group a unit: the manifest's rows that are not done, with their fingerprints, in
the order of sha256(item_id). A unit is named by the sha256 of its (item_id, fingerprint) pairs, so that the same
work has the same name in every run, and a unit that has a done marker is never done again.
"""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from mcmfh import storage
from mcmfh.archive.loading import item_fingerprints
from mcmfh.archive.manifest import Fault


@dataclass(frozen=True)
class Unit:
    """A row group of a plan: `digest` is its input digest."""

    plan: str
    row_group: int
    digest: str
    rows: int

    def items(self) -> pa.Table:
        """The unit's manifest rows with their `fingerprint`."""
        with storage.open_file(self.plan) as file:
            return pq.ParquetFile(file).read_row_group(self.row_group)


def input_digest(items: pa.Table) -> str:
    """sha256 of the (item_id, fingerprint) pairs of `items`."""
    return storage.digest(list(zip(items["item_id"].to_pylist(), items["fingerprint"].to_pylist())))


def usable_items(manifest: pa.Table, faults: list[Fault]) -> pa.Table:
    """The manifest's rows without fatal faults, with a `fingerprint` column, in the order of sha256(item_id)."""
    fatal = {fault.row for fault in faults if fault.fatal}
    table = manifest.filter(pa.array([row not in fatal for row in manifest["row"].to_pylist()], pa.bool_()))
    contents = table.select(["image_uri", "report", "report_uri"]).to_pylist()
    table = table.append_column("fingerprint", pa.array(item_fingerprints(contents), pa.string()))
    order = [hashlib.sha256(item.encode()).digest() for item in table["item_id"].to_pylist()]
    return table.take(pa.array(sorted(range(len(order)), key=order.__getitem__), pa.int64()))


def without_done(items: pa.Table, done: Mapping[str, str]) -> pa.Table:
    """The rows of `items` whose fingerprint is not the one that `done` (item_id → fingerprint) holds."""
    pairs = zip(items["item_id"].to_pylist(), items["fingerprint"].to_pylist())
    return items.filter(pa.array([done.get(item) != fingerprint for item, fingerprint in pairs], pa.bool_()))


def write_plan(items: pa.Table, unit_items: int, folder: str) -> list[Unit]:
    """Cut `items` into units of `unit_items` rows and store the plan below `folder`, create-only."""
    if not items.num_rows:
        return []
    digests = [input_digest(items.slice(start, unit_items)) for start in range(0, items.num_rows, unit_items)]
    uri = storage.join(folder, f"{storage.digest(digests)}.parquet")
    if not storage.exists(uri):
        sink = io.BytesIO()
        pq.write_table(items.combine_chunks(), sink, row_group_size=unit_items, compression="zstd")
        storage.create(uri, sink.getvalue())
    rows = [min(unit_items, items.num_rows - start) for start in range(0, items.num_rows, unit_items)]
    return [Unit(uri, i, digest, count) for i, (digest, count) in enumerate(zip(digests, rows))]
