"""The manifest, taken in: every row fingerprinted and handed to its range of keys, every range settled and planned.

A step works on one part of the manifest or on one range of keys, in a task of its own: the driver holds names and
counts, never item_ids.
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
from mcmfh.bulk.tasks import each
from mcmfh.config import Config
from mcmfh.embeddings import partitions
from mcmfh.embeddings.plan import Unit, with_fingerprints, write_plan
from mcmfh.embeddings.stored import locate
from mcmfh.snapshots.shards import SHARD_ROWS
from mcmfh.store import files

# Random hashes fill equal ranges unequally, by less than 1 in 100.
RANGE_ROWS = SHARD_ROWS * 99 // 100


@dataclass(frozen=True)
class Listing:
    """A manifest cut into `ranges` below the scratch folder `folder`; `inputs`: its rows."""

    folder: str
    ranges: list[KeyRange]
    inputs: int


@dataclass(frozen=True)
class Planned:
    """A settled range: usable items, and the units of those that have no embedding yet."""

    within: KeyRange
    items: int
    units: list[Unit]


@contextmanager
def listed(config: Config, root: str, manifest: Manifest, rows_before: int = 0) -> Iterator[Listing]:
    """Cut the manifest by hash for the block; `rows_before`: of the snapshot that it will be compared with."""
    folder = files.join(root, "scratch", uuid.uuid4().hex)
    ranges = key_ranges(max(manifest.rows, rows_before), RANGE_ROWS)
    calls = [
        (folder, ranges, number, manifest.uri, part, config.archive.filters)
        for number, part in enumerate(manifest.parts)
    ]
    try:
        yield Listing(folder, ranges, sum(each(take_in, calls)))
    finally:
        files.delete_tree(folder)


def plan(config: Config, listing: Listing, embeddings: str) -> list[Planned]:
    """Settle every range and cut what is not embedded into units; empty ranges are left out."""
    calls = [
        (listing.folder, within, embeddings, config.embed.unit_items, config.embed.retry_quarantined)
        for within in listing.ranges
    ]
    return [planned for planned in each(plan_range, calls) if planned]


def take_in(
    folder: str, ranges: list[KeyRange], number: int, uri: str, part: ManifestPart | None, filters: tuple[str, ...]
) -> int:
    """Read, fingerprint and scatter one part of a manifest; its rows."""
    rows = with_fingerprints(read_manifest(uri, filters, part))
    partitions.scatter(folder, ranges, number, rows)
    return rows.num_rows


def plan_range(folder: str, within: KeyRange, embeddings: str, unit_items: int, retry: bool) -> Planned | None:
    """Settle one range and plan its units; with `retry` also of what failed before."""
    items = partitions.settle(folder, within)
    if items is None:
        return None
    place = locate(embeddings, items, within)
    again = place.failed if retry else place.failed & False
    known = np.array([*place.units, None], object)[place.earlier_unit]
    items = items.append_column("earlier_unit", pa.array(known, pa.string()))
    items = items.append_column("earlier_row", pa.array(place.earlier_position))
    todo = items.filter(pa.array((place.unit < 0) | again))
    earlier = place.units if again.any() else ()  # one more with every try: each gets names of its own
    return Planned(within, items.num_rows, write_plan(todo, unit_items, files.join(embeddings, "plans"), earlier))
