"""The items that are not embedded yet, cut into units before any work starts.

A plan is a Parquet file with one row group a unit: what is to be read of each item that has no embedding, in item
order. It lies in the job's scratch folder and goes with it, because reports of a table stand in it as they were given.
A unit is named by the keys it spans and the sha256 of its (item_id, fingerprint) pairs. So the same work has the same
name in every run, and the names alone tell which units may hold an item.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mcmfh.archive.loading import item_fingerprints
from mcmfh.archive.manifest import Fault
from mcmfh.archive.order import KeyRange, in_order, keys
from mcmfh.store import files, layout

PLANNED = ("item_id", "row", "image_uri", "report", "report_uri", "fingerprint")
EARLIER = ("earlier_encoder", "earlier_unit", "earlier_row")  # the embedding that an item had before, if it had one


@dataclass(frozen=True)
class Unit:
    """A row group of a plan; `digest` is its name: its range of keys and its input digest."""

    plan: str
    row_group: int
    digest: str
    rows: int

    def items(self) -> pa.Table:
        """The unit's rows, with the columns PLANNED and EARLIER."""
        with files.open_file(self.plan) as file:
            return pq.ParquetFile(file).read_row_group(self.row_group)


def with_fingerprints(manifest: pa.Table) -> pa.Table:
    """`manifest` with one more column, `fingerprint`."""
    contents = manifest.select(["image_uri", "report", "report_uri"]).to_pylist()
    return manifest.append_column("fingerprint", pa.array(item_fingerprints(contents), pa.string()))


def usable_items(manifest: pa.Table, faults: Sequence[Fault]) -> pa.Table:
    """The rows without fatal faults, in item order; their `read_fault`, which `faults` tell of, is left out."""
    fatal = np.array([fault.row for fault in faults if fault.fatal], np.int64)
    manifest = manifest.drop_columns(["read_fault"])
    return in_order(manifest.filter(pa.array(~np.isin(manifest["row"].to_numpy(), fatal))))


def write_plan(items: pa.Table, unit_items: int, scratch: str, earlier: Sequence[str] = ()) -> list[Unit]:
    """Cut `items` (in item order, with PLANNED and EARLIER) into units of `unit_items` rows and store the plan.

    earlier: names of units in which some of the items failed. They enter the new units' names, which are new thereby.
    """
    if not items.num_rows:
        return []
    starts = np.arange(0, items.num_rows, unit_items)
    names = unit_names(items, starts, "".join(earlier))
    sink = io.BytesIO()
    planned = items.select([*PLANNED, *EARLIER]).combine_chunks()
    pq.write_table(planned, sink, row_group_size=unit_items, compression="zstd")
    # Named by its content: the names of its units would be the same where an archive was moved, the addresses are not.
    uri = layout.scratch_plan(scratch, files.digest(sink.getvalue()))
    files.put(uri, sink.getvalue())
    rows = np.diff(starts, append=items.num_rows).tolist()
    return [Unit(uri, i, name, count) for i, (name, count) in enumerate(zip(names, rows))]


def unit_names(items: pa.Table, starts: np.ndarray, salt: str = "") -> list[str]:
    """Names of the units that begin at rows `starts` of `items` (in item order)."""
    ends = np.append(starts[1:], items.num_rows)
    pairs = pc.binary_join_element_wise(items["item_id"], items["fingerprint"], "\t").combine_chunks()
    offsets = pa.array(np.append(starts, items.num_rows), pa.int64())
    texts = pc.binary_join(pa.LargeListArray.from_arrays(offsets, pairs), "\n").to_pylist()
    first, last = (keys(items["item_id"].take(pa.array(rows))).tolist() for rows in (starts, ends - 1))
    spans = [KeyRange(*ends) for ends in zip(first, last)]
    digests = [files.digest(f"{end - start} {text}{salt}".encode()) for start, end, text in zip(starts, ends, texts)]
    return [f"{span}-{digest}" for span, digest in zip(spans, digests)]
