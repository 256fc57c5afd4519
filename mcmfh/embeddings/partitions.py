"""A manifest of any length, cut by the hash of item_id, so that a job works on one range of keys at a time.

The rows lie in the job's own scratch folder (see store/layout.py), which the job deletes at its end. Every file there
is written once, by whichever process does that step.
"""

import io

import numpy as np
import pyarrow as pa

from mcmfh.archive.manifest import SCHEMA, Fault, check_manifest
from mcmfh.archive.order import KeyRange, keys
from mcmfh.archive.quarantine import quarantine_table
from mcmfh.embeddings.plan import usable_items, with_fingerprints
from mcmfh.store import files, layout


def write_rows(uri: str, table: pa.Table) -> None:
    """Store `table`. A file that is there already was left by a killed process and holds the same rows."""
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        writer.write_table(table)
    files.create(uri, sink.getvalue())


def read_rows(uri: str) -> pa.Table:
    """The table that `write_rows` stored. Raises FileNotFoundError."""
    return pa.ipc.open_file(pa.BufferReader(files.read(uri))).read_all()


def scatter(folder: str, ranges: list[KeyRange], part: int, manifest: pa.Table) -> None:
    """Store the rows (with fingerprints) of the manifest's `part` by range; `ranges` cover the key space."""
    firsts = np.array([within.first for within in ranges], np.uint64)
    range_of_row = np.searchsorted(firsts, keys(manifest["item_id"]), side="right") - 1
    manifest = manifest.take(pa.array(np.argsort(range_of_row, kind="stable")))
    ends = np.cumsum(np.bincount(range_of_row, minlength=len(ranges)))
    for number, rows in enumerate(np.diff(ends, prepend=0).tolist()):
        if rows:
            uri = layout.scratch_part(folder, str(ranges[number]), part)
            write_rows(uri, manifest.slice(int(ends[number]) - rows, rows))


def settle(folder: str, within: KeyRange) -> pa.Table | None:
    """The usable rows of a range in item order, or None where it is empty. Stores them and the quarantine rows.

    All rows of one item_id are in one range, whatever part of the manifest they came from. The first row counts.
    """
    parts = layout.scratch_parts(folder, str(within))
    names = files.names(parts)
    if not names:
        return None
    manifest = pa.concat_tables([read_rows(files.join(parts, name)) for name in names]).sort_by("row")
    faults = check_manifest(manifest)
    items = usable_items(manifest, faults)
    write_rows(layout.scratch_items(folder, str(within)), items)
    write_rows(layout.scratch_faults(folder, str(within)), _quarantine(faults))
    return items


def read_settled(folder: str, within: KeyRange) -> tuple[pa.Table, pa.Table]:
    """(usable rows, quarantine rows) of a settled range."""
    try:
        items = read_rows(layout.scratch_items(folder, str(within)))
    except FileNotFoundError:  # the manifest has no row in it
        return usable_items(with_fingerprints(SCHEMA.empty_table()), []), quarantine_table([])
    return items, read_rows(layout.scratch_faults(folder, str(within)))


def _quarantine(faults: list[Fault]) -> pa.Table:
    """Quarantine rows of the fatal faults, one a manifest row."""
    fatal = {fault.row: fault for fault in reversed(faults) if fault.fatal}
    return quarantine_table(
        {"item_id": fault.item_id, "row": row, "reason": fault.reason, "digest": None} for row, fault in fatal.items()
    )
