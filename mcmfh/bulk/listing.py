"""Reading the manifest: every row is fingerprinted and sent to its range of keys, every range is checked and planned.

Each step is a task that works on one part of the manifest or on one range of keys. The driver holds names and counts,
never item_ids.
"""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mcmfh.archive.manifest import ManifestPart, read_manifest
from mcmfh.archive.opened import Manifest
from mcmfh.archive.order import KeyRange, key_ranges
from mcmfh.archive.picture import WINDOW_SHOWS_NOTHING
from mcmfh.bulk.tasks import Each, each
from mcmfh.config import Config
from mcmfh.embeddings import partitions
from mcmfh.embeddings.earlier import earlier_encoders
from mcmfh.embeddings.plan import EARLIER, Unit, with_fingerprints, write_plan
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
    window_shows_nothing: embedded pictures that are shown by the range of their values.
    """

    within: KeyRange
    items: int
    failed: int
    units: list[Unit]
    window_shows_nothing: int = 0


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
    """Check every range and cut what is not embedded into units; empty ranges are left out.

    The plans lie in the listing's folder and go with it.
    """
    encoders, unit_items = [spec.digest, *earlier_encoders(config.store, spec)], config.embed.items_of_unit(spec.device)
    folders = [embeddings_folder(config.store, digest) for digest in encoders]
    calls = [(listing.folder, within, folders, unit_items, config.embed.retry_quarantined) for within in listing.ranges]
    return [planned for planned in each(plan_range, calls) if planned]


def take_in(
    folder: str, ranges: list[KeyRange], number: int, uri: str, part: ManifestPart | None, filters: tuple[str, ...]
) -> int:
    """Read and fingerprint one part of a manifest, and store its rows by range; returns how many there are."""
    rows = with_fingerprints(read_manifest(uri, filters, part))
    partitions.scatter(folder, ranges, number, rows)
    return len(rows)


def plan_range(folder: str, within: KeyRange, encoders: Sequence[str], unit_items: int, retry: bool) -> Planned | None:
    """Check one range and plan its units; with `retry` also those of items that failed before.

    encoders: embeddings folders, that of the encoder first, then those of its earlier versions.
    """
    items = partitions.settle(folder, within)
    if items is None:
        return None
    addresses = locate(encoders[0], items, within)
    again = addresses.failed if retry else addresses.failed & False
    wanted = (addresses.unit < 0) | again
    todo = _with_earlier(items.filter(pa.array(wanted)), within, encoders)
    # Every attempt adds a unit to the list, so every attempt's units have new names.
    earlier = addresses.units if again.any() else ()
    failed = int((addresses.failed & ~again).sum())
    noted = int(pc.sum(pc.equal(addresses.note, WINDOW_SHOWS_NOTHING)).as_py() or 0)
    return Planned(within, items.num_rows, failed, write_plan(todo, unit_items, folder, earlier), noted)


def _with_earlier(items: pa.Table, within: KeyRange, encoders: Sequence[str]) -> pa.Table:
    """`items` with the columns EARLIER: where each was embedded before, by the first of `encoders` that did it."""
    encoder, unit = np.full(items.num_rows, "", object), np.full(items.num_rows, "", object)
    row = np.zeros(items.num_rows, np.int64)
    for folder in encoders:
        missing = np.flatnonzero(unit == "")
        found = locate(folder, items.take(pa.array(missing)), within)
        good = (found.unit >= 0) & ~found.failed
        number = np.where(good, found.unit, found.earlier_unit)
        embedded = number >= 0
        encoder[missing[embedded]] = folder.rpartition("/")[2]
        unit[missing[embedded]] = np.array([*found.units, ""], object)[number[embedded]]
        row[missing[embedded]] = np.where(good, found.position, found.earlier_position)[embedded]
    for name, values in zip(EARLIER, (encoder, unit, row)):
        items = items.append_column(name, pa.array(values, pa.int64() if name == "earlier_row" else pa.string()))
    return items
