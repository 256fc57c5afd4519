"""Reading the manifest: every row is fingerprinted and sent to its range of keys, every range is checked and planned.

Each step is a task that works on one part of the manifest or on one range of keys. The driver holds names and counts,
never item_ids.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from mcmfh.archive.manifest import ManifestPart, read_manifest
from mcmfh.archive.opened import Manifest
from mcmfh.archive.order import KeyRange, key_ranges
from mcmfh.bulk.tasks import Each, each
from mcmfh.config import Config
from mcmfh.embeddings import partitions
from mcmfh.embeddings.plan import Unit, with_fingerprints, write_plan
from mcmfh.embeddings.stored import locate
from mcmfh.encoders import EncoderSpec
from mcmfh.snapshots.shards import SHARD_ROWS
from mcmfh.store import files
from mcmfh.store.layout import embeddings_folder, scratch_folder

# Hashing spreads items over equal ranges to within 1 in 100, so a range of this size fits into a shard.
RANGE_ROWS = SHARD_ROWS * 99 // 100


@dataclass(frozen=True)
class Listing:
    """A manifest cut into `ranges` below the scratch folder `folder`; `inputs`: its rows."""

    folder: str
    ranges: list[KeyRange]
    inputs: int


@dataclass(frozen=True)
class Planned:
    """What is to do in one range: its usable items, and the units of those that have no embedding yet.

    failed: items that could not be read in an earlier run and are not tried again.
    """

    within: KeyRange
    items: int
    failed: int
    units: list[Unit]


@contextmanager
def listed(
    config: Config,
    root: str,
    manifest: Manifest,
    previous_rows: int = 0,
    each: Each = each,
    range_rows: int = RANGE_ROWS,
) -> Iterator[Listing]:
    """Cut the manifest into ranges of at most about `range_rows`, which are deleted at the end of the block.

    previous_rows: rows of the snapshot that the manifest will be compared with.
    """
    folder = scratch_folder(root, uuid.uuid4().hex)
    ranges = key_ranges(max(manifest.rows, previous_rows), range_rows)
    calls = [
        (folder, ranges, number, manifest.uri, part, config.archive.filters)
        for number, part in enumerate(manifest.parts)
    ]
    try:
        yield Listing(folder, ranges, sum(each(take_in, calls)))
    finally:
        files.delete_tree(folder)


def plan(config: Config, listing: Listing, spec: EncoderSpec, each: Each = each) -> list[Planned]:
    """Check every range and cut what is not embedded into units; empty ranges are left out."""
    embeddings, unit_items = embeddings_folder(config.store, spec.digest), config.embed.items_of_unit(spec.device)
    calls = [
        (listing.folder, within, embeddings, unit_items, config.embed.retry_quarantined) for within in listing.ranges
    ]
    return [planned for planned in each(plan_range, calls) if planned]


def take_in(
    folder: str, ranges: list[KeyRange], number: int, uri: str, part: ManifestPart | None, filters: tuple[str, ...]
) -> int:
    """Read and fingerprint one part of a manifest, and store its rows by range; returns how many there are."""
    rows = with_fingerprints(read_manifest(uri, filters, part))
    partitions.scatter(folder, ranges, number, rows)
    return len(rows)


def plan_range(folder: str, within: KeyRange, embeddings: str, unit_items: int, retry: bool) -> Planned | None:
    """Check one range and plan its units; with `retry` also those of items that failed before."""
    items = partitions.settle(folder, within)
    if items is None:
        return None
    addresses = locate(embeddings, items, within)
    again = addresses.failed if retry else addresses.failed & False
    earlier_unit = np.array([*addresses.units, None], object)[addresses.earlier_unit]
    items = items.append_column("earlier_unit", pa.array(earlier_unit, pa.string()))
    items = items.append_column("earlier_row", pa.array(addresses.earlier_position))
    todo = items.filter(pa.array((addresses.unit < 0) | again))
    # Every attempt adds a unit to the list, so every attempt's units have new names.
    earlier = addresses.units if again.any() else ()
    failed = int((addresses.failed & ~again).sum())
    return Planned(within, items.num_rows, failed, write_plan(todo, unit_items, embeddings, earlier))
