"""A manifest of any length, cut by the hash of item_id: what a run knows of its items, a range of keys at a time.

The folder is one run's own and is deleted after it; every file is written once, by whichever process did that step.

    <folder>/parts/<range>/<part>     rows of one part of the manifest, with fingerprints
    <folder>/items/<range>            the range's usable rows in item order
    <folder>/faults/<range>           quarantine rows of the others
    <folder>/wanted/<range>           rows to hash, with the place of their embeddings
"""

import io

import numpy as np
import pyarrow as pa

from mcmfh.archive.manifest import SCHEMA, Fault, check_manifest
from mcmfh.archive.order import KeyRange, keys
from mcmfh.archive.quarantine import quarantine_table
from mcmfh.embeddings.plan import usable_items
from mcmfh.store import files


def write_rows(uri: str, table: pa.Table) -> None:
    """Store `table`; what stands there already is a killed process's same rows."""
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        writer.write_table(table)
    files.create(uri, sink.getvalue())


def read_rows(uri: str) -> pa.Table:
    """What `write_rows` wrote. Raises FileNotFoundError."""
    return pa.ipc.open_file(pa.BufferReader(files.read(uri))).read_all()


def wanted_uri(folder: str, within: KeyRange) -> str:
    return files.join(folder, "wanted", str(within))


def scatter(folder: str, ranges: list[KeyRange], part: int, manifest: pa.Table) -> None:
    """Hand the rows (with fingerprints) of the manifest's `part` to their ranges, which cover the key space."""
    firsts = np.array([one.first for one in ranges], np.uint64)
    where = np.searchsorted(firsts, keys(manifest["item_id"]), side="right") - 1
    manifest = manifest.take(pa.array(np.argsort(where, kind="stable")))
    ends = np.cumsum(np.bincount(where, minlength=len(ranges)))
    for number, rows in enumerate(np.diff(ends, prepend=0).tolist()):
        if rows:
            uri = files.join(folder, "parts", str(ranges[number]), f"{part:06d}")
            write_rows(uri, manifest.slice(int(ends[number]) - rows, rows))


def settle(folder: str, within: KeyRange) -> pa.Table | None:
    """The usable rows of a range in item order, None where it is empty; they and the faults are stored as well.

    Equal item_ids meet here, whatever part of the manifest they came from: the first row counts.
    """
    parts = files.join(folder, "parts", str(within))
    names = files.names(parts)
    if not names:
        return None
    manifest = pa.concat_tables([read_rows(files.join(parts, name)) for name in names]).sort_by("row")
    faults = check_manifest(manifest)
    items = usable_items(manifest, faults)
    write_rows(files.join(folder, "items", str(within)), items)
    write_rows(files.join(folder, "faults", str(within)), _quarantine(faults))
    return items


def read_settled(folder: str, within: KeyRange) -> tuple[pa.Table, pa.Table]:
    """(usable rows, quarantine rows) of a settled range."""
    try:
        items = read_rows(files.join(folder, "items", str(within)))
    except FileNotFoundError:  # the manifest has no row in it
        return SCHEMA.append(pa.field("fingerprint", pa.string())).empty_table(), quarantine_table([])
    return items, read_rows(files.join(folder, "faults", str(within)))


def _quarantine(faults: list[Fault]) -> pa.Table:
    """Quarantine rows of the fatal ones, one a manifest row."""
    fatal = {fault.row: fault for fault in reversed(faults) if fault.fatal}
    return quarantine_table(
        {"item_id": fault.item_id, "row": row, "reason": fault.reason, "digest": None} for row, fault in fatal.items()
    )
