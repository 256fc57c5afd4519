"""An archive as a job sees it: the manifest's rows that can be used, and what is wrong with the others."""

from dataclasses import dataclass

import pyarrow as pa

from mcmfh import storage
from mcmfh.archive.manifest import Fault, check_manifest, read_manifest
from mcmfh.archive.quarantine import quarantine_table
from mcmfh.config import ArchiveConfig
from mcmfh.errors import InputError
from mcmfh.snapshots.plan import usable_items


@dataclass(frozen=True)
class Archive:
    """A manifest as read: `items` can be used (with fingerprint, in item order), `faults` tell what is wrong."""

    items: pa.Table
    faults: list[Fault]
    inputs: int

    def quarantined(self) -> pa.Table:
        """The rows that cannot become items, as quarantine rows."""
        return quarantine_table(
            {"item_id": fault.item_id, "row": row, "reason": fault.reason, "digest": None}
            for row, fault in {fault.row: fault for fault in reversed(self.faults) if fault.fatal}.items()
        )


def read_archive(config: ArchiveConfig) -> Archive:
    """Read and check the manifest. Raises InputError when there is none or it cannot be used."""
    if config.manifest is None:
        raise InputError("no manifest is named; set archive.manifest to the URI of a Parquet or CSV file")
    manifest = read_manifest(config.manifest, config.filters)
    if not manifest.num_rows:
        raise InputError(f"manifest '{config.manifest}' holds no rows; list the archive's items in it")
    faults = check_manifest(manifest)
    return Archive(usable_items(manifest, faults), faults, manifest.num_rows)


def archive_root(store: str, name: str) -> str:
    """Where the archive's shards and snapshots live."""
    return storage.join(storage.absolute(store), "archives", name)
