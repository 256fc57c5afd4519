"""Hashing an archive: embed what is new, hash it, publish the next snapshot."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from mcmfh.archive.opened import Manifest
from mcmfh.archive.order import KeyRange
from mcmfh.archive.quarantine import count_reasons
from mcmfh.bulk import embed as embedding
from mcmfh.bulk import hash as hashing
from mcmfh.bulk.listing import Listing, listed, plan
from mcmfh.bulk.tasks import each
from mcmfh.config import Config
from mcmfh.embeddings import partitions, units
from mcmfh.errors import InputError
from mcmfh.hashing import load_bundle, registry
from mcmfh.pipeline.embed import Progress, current_spec, embed_planned
from mcmfh.snapshots.compare import compare
from mcmfh.snapshots.publish import Model, Quarantine, base, publish, quarantined, store_quarantine
from mcmfh.snapshots.shards import SHARD_ROWS, Shard
from mcmfh.store import files
from mcmfh.store.layout import archive_root


@dataclass(frozen=True)
class Published:
    """A snapshot: inputs = items + failed. `hashed`: rows that were new, or shown otherwise than before."""

    root: str
    snapshot: int
    document: dict[str, Any]
    inputs: int
    hashed: int
    reasons: dict[str, int]  # of the quarantined, the most frequent first

    @property
    def items(self) -> int:
        return self.document["items"]

    @property
    def failed(self) -> int:
        return self.document["quarantined"]

    @cached_property
    def quarantined(self) -> pa.Table:
        """The quarantine rows, read from the store."""
        return quarantined(self.root, self.document)


@dataclass(frozen=True)
class Range:
    """What comparing one range of keys came to: numbers and names only."""

    within: KeyRange
    wanted: int
    quarantine: str | None
    reasons: dict[str, int]
    removed: dict[str, np.ndarray]


def hash_archive(config: Config, manifest: Manifest, progress: Progress | None = None) -> Published:
    """Embed what is new, hash it with the chosen bundle, publish the next snapshot."""
    files.probe(config.store)
    uri = registry.resolve(config.store, config.hash.bundle)
    bundle = load_bundle(uri)
    spec = current_spec(config)
    if spec.digest != bundle.config["encoder_digest"]:
        raise InputError(
            f"the model at '{uri}' was trained on embeddings of another encoder; train again, or use its encoder"
        )
    root = archive_root(config.store, config.archive.name)
    before = base(root, bundle.code_digest, config.hash.replace_model)
    embeddings = embedding.embeddings_folder(config.store, spec)
    filters, keep_reports = config.archive.filters, config.archive.keep_reports
    model = Model(uri, bundle.bundle_digest, bundle.code_digest, spec.digest, tuple(bundle.bits))
    with listed(config, root, manifest, before["rows"] if before else 0) as listing:
        planned = plan(config, listing, embeddings)
        embed_planned(config, spec, listing, planned, progress)
        return publish_listing(root, model, listing, embeddings, before, filters, keep_reports)


def publish_listing(
    root: str,
    model: Model,
    listing: Listing,
    embeddings: str,
    before: Mapping[str, Any] | None,
    filters: Sequence[str],
    keep_reports: bool,
    read_unit: units.ReadUnit = units.read_unit,
) -> Published:
    """Compare every range with the snapshot `before`, hash what it needs, publish."""
    compared = list(
        each(
            compare_range,
            [(root, listing.folder, one, embeddings, before, filters, keep_reports) for one in listing.ranges],
        )
    )
    groups = _groups([one for one in compared if one.wanted])
    calls = [
        (
            root,
            model.bundle,
            embeddings,
            [partitions.wanted_uri(listing.folder, one.within) for one in group],
            filters,
            keep_reports,
            read_unit,
        )
        for group in groups
    ]
    added = [Shard(**document) for document in each(hashing.hash_shard, calls)]
    reasons: Counter[str] = Counter()
    removed: dict[str, np.ndarray] = {}
    for one in compared:
        reasons.update(one.reasons)
        for shard, bitmap in one.removed.items():
            removed[shard] = removed[shard] | bitmap if shard in removed else bitmap
    names = tuple(one.quarantine for one in compared if one.quarantine)
    quarantine = Quarantine(names, reasons.total())
    number, document = publish(root, model, added, before, removed, quarantine, filters, keep_reports)
    hashed = sum(one.wanted for one in compared)
    return Published(root, number, document, listing.inputs, hashed, dict(reasons.most_common()))


def compare_range(
    root: str,
    folder: str,
    within: KeyRange,
    embeddings: str,
    before: Mapping[str, Any] | None,
    filters: Sequence[str],
    keep_reports: bool,
) -> Range:
    """Compare one settled range, store what it wants and what failed."""
    items, faults = partitions.read_settled(folder, within)
    found = compare(root, items, within, embeddings, before, filters, keep_reports)
    if found.wanted.num_rows:
        partitions.write_rows(partitions.wanted_uri(folder, within), found.wanted)
    failed = pa.concat_tables([faults, found.failed])
    quarantine = store_quarantine(root, failed) if failed.num_rows else None
    return Range(within, found.wanted.num_rows, quarantine, count_reasons(failed), found.removed)


def _groups(ranges: list[Range]) -> list[list[Range]]:
    """Neighbouring ranges together, up to SHARD_ROWS rows."""
    groups: list[list[Range]] = []
    rows = 0
    for one in ranges:
        if not groups or rows + one.wanted > SHARD_ROWS:
            groups.append([])
            rows = 0
        groups[-1].append(one)
        rows += one.wanted
    return groups
