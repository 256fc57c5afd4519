"""An archive as a job sees it: the manifest's rows that can be used, and what is wrong with the others."""

from dataclasses import dataclass

import pyarrow as pa

from mcmfh import storage
from mcmfh.archive.manifest import Fault, ManifestPart, check_manifest, manifest_parts, read_manifest
from mcmfh.config import ArchiveConfig
from mcmfh.errors import InputError
from mcmfh.snapshots.plan import usable_items, with_fingerprints

PART_ROWS = 1 << 18


@dataclass(frozen=True)
class Archive:
    """A manifest in memory, as training needs it: `items` (with fingerprint, in item order) can be used."""

    items: pa.Table
    faults: list[Fault]
    inputs: int


@dataclass(frozen=True)
class Manifest:
    """A manifest of any length, as bulk jobs read it: a part at a time. `rows`: at most so many in all."""

    uri: str
    parts: list[ManifestPart | None]
    rows: int


def read_archive(config: ArchiveConfig) -> Archive:
    """Read and check the manifest. Raises InputError when there is none or it cannot be used."""
    manifest = read_manifest(_uri(config), config.filters)
    _refuse_empty(config, manifest.num_rows)
    faults = check_manifest(manifest)
    return Archive(usable_items(with_fingerprints(manifest), faults), faults, manifest.num_rows)


def open_manifest(config: ArchiveConfig) -> Manifest:
    """Find the manifest and its parts. Raises InputError when there is none."""
    parts, rows = manifest_parts(_uri(config), PART_ROWS)
    _refuse_empty(config, rows)
    return Manifest(_uri(config), parts, rows)


def archive_root(store: str, name: str) -> str:
    """Where the archive's shards and snapshots live."""
    return storage.join(storage.absolute(store), "archives", name)


def _uri(config: ArchiveConfig) -> str:
    if config.manifest is None:
        raise InputError("no manifest is named; set archive.manifest to the URI of a Parquet or CSV file")
    return config.manifest


def _refuse_empty(config: ArchiveConfig, rows: int) -> None:
    if not rows:
        raise InputError(f"manifest '{config.manifest}' holds no rows; list the archive's items in it")
