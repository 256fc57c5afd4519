"""Reading a manifest as the configuration names it."""

import sys
from collections.abc import Sequence

from mcmfh.archive.manifest import check_manifest, manifest_parts, read_manifest, sample_addresses
from mcmfh.archive.opened import Archive, Manifest
from mcmfh.archive.roots import outside
from mcmfh.config import ArchiveConfig
from mcmfh.embeddings.plan import usable_items, with_fingerprints
from mcmfh.errors import InputError

PART_ROWS = 1 << 18


def read_archive(config: ArchiveConfig) -> Archive:
    """Read and check the manifest. Raises InputError when there is none or it cannot be used."""
    manifest = read_manifest(_uri(config), config.filters)
    _refuse_empty(config, manifest.num_rows)
    faults = check_manifest(manifest)
    _warn_outside(config, [*manifest["image_uri"].to_pylist(), *manifest["report_uri"].to_pylist()])
    return Archive(usable_items(with_fingerprints(manifest), faults), faults, manifest.num_rows)


def refuse_faults(archive: Archive) -> None:
    """Raise InputError where a row cannot be trained on or scored, as where a group stands on two sides of the split.

    Whatever trains or scores on an archive calls this first. Fatal faults do not count: their rows are no items.
    """
    if faults := [fault for fault in archive.faults if not fault.fatal]:
        raise InputError(f"row {faults[0].row} of the manifest: {faults[0].reason}; correct it (mcmfh check lists all)")


def open_manifest(config: ArchiveConfig) -> Manifest:
    """The manifest's address and parts, without its rows. Raises InputError when there is none."""
    parts, rows = manifest_parts(_uri(config), PART_ROWS)
    _refuse_empty(config, rows)
    _warn_outside(config, sample_addresses(_uri(config), parts[0]))  # the first part speaks for the others
    return Manifest(_uri(config), parts, rows)


def _uri(config: ArchiveConfig) -> str:
    if config.manifest is None:
        raise InputError("no manifest is named; set archive.manifest to the URI of a Parquet or CSV file")
    return config.manifest


def _warn_outside(config: ArchiveConfig, addresses: Sequence[str | None]) -> None:
    """Say how many addresses will not be read; which they are, for the log of a job, is left to `mcmfh check`."""
    if count := len(outside(addresses, config.allowed_roots)):
        print(
            f"{count:,} addresses are outside archive.roots and are not read; mcmfh check gives the setting that lets "
            "them in",
            file=sys.stderr,
        )


def _refuse_empty(config: ArchiveConfig, rows: int) -> None:
    if not rows:
        raise InputError(f"manifest '{config.manifest}' holds no rows; list the archive's items in it")
