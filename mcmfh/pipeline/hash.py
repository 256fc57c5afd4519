"""Hashing an archive: embed what is new, hash it, publish the next snapshot."""

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import pyarrow as pa

from mcmfh.archive.opened import Manifest
from mcmfh.archive.order import KeyRange
from mcmfh.archive.quarantine import count_reasons
from mcmfh.bulk.hash import hash_shard
from mcmfh.bulk.listing import Listing, listed, plan
from mcmfh.config import Config
from mcmfh.console import Advance
from mcmfh.embeddings import partitions, units
from mcmfh.embeddings.earlier import has_old_texts
from mcmfh.errors import InputError
from mcmfh.hashing import load_bundle, registry
from mcmfh.pipeline.embed import Embedded, embed_planned
from mcmfh.pipeline.encoder import on_device_of, with_towers_of
from mcmfh.pipeline.execution import Execution, on_ray
from mcmfh.snapshots.compare import compare
from mcmfh.snapshots.document import Model, Publication, SnapshotDocument
from mcmfh.snapshots.publish import Quarantine, base, publish, quarantined, store_quarantine
from mcmfh.snapshots.retire import retire
from mcmfh.store import files
from mcmfh.store.layout import archive_root, embeddings_folder, scratch_wanted


@dataclass(frozen=True)
class Published:
    """A snapshot: inputs = items + failed. `hashed`: rows that are new or whose displayed fields changed."""

    root: str
    snapshot: int
    document: SnapshotDocument
    inputs: int
    hashed: int
    reasons: dict[str, int]  # of the quarantined, the most frequent first
    retired: tuple[int, ...] = ()  # snapshots that were removed, because an earlier version had parsed their reports

    @property
    def items(self) -> int:
        """Items that can be searched."""
        return self.document.items

    @property
    def failed(self) -> int:
        """Inputs in quarantine."""
        return self.document.quarantined

    @cached_property
    def quarantined(self) -> pa.Table:
        """The quarantine rows, read from the store."""
        return quarantined(self.root, self.document)


@dataclass(frozen=True)
class RangeDone:
    """Result of comparing one range of keys: numbers and names only."""

    within: KeyRange
    wanted: int
    quarantine: str | None
    reasons: dict[str, int]
    removed: dict[str, np.ndarray]


def hash_archive(
    config: Config, manifest: Manifest, progress: Advance | None = None, execution: Execution | None = None
) -> Published:
    """Embed what is new, hash it with the chosen bundle, publish the next snapshot."""
    execution = execution or on_ray(config)
    files.probe(config.store)
    uri = registry.resolve(config.store, config.hash.bundle)
    bundle = load_bundle(uri)
    spec = execution.spec(on_device_of(with_towers_of(config, bundle), bundle.encoder_identity))
    if spec.digest != bundle.config["encoder_digest"]:
        then, now = bundle.encoder_identity, spec.identity
        changed = ", ".join(sorted(name for name in now if files.digest(now[name]) != files.digest(then.get(name))))
        raise InputError(
            f"the model at '{uri}' was trained on embeddings of another encoder (other {changed}); train again, or use "
            f"its encoder, encoder.name={bundle.encoder}{_source(bundle.encoder_source)}"
        )
    root = archive_root(config.store, config.archive.name)
    publication = Publication(
        root,
        embeddings_folder(config.store, spec.digest),
        Model(uri, bundle.bundle_digest, bundle.code_digest, spec.digest, tuple(bundle.bits)),
        previous=base(root, bundle.code_digest, config.hash.replace_model),
        filters=config.archive.filters,
        keep_reports=config.archive.keep_reports,
    )
    previous_rows = publication.previous.rows if publication.previous else 0
    with listed(config, root, manifest, previous_rows, execution.each, execution.range_rows) as listing:
        planned = plan(config, listing, spec, execution.each)
        embedded = embed_planned(config, spec, listing, planned, progress, execution)
        published = publish_listing(publication, listing, execution, progress=_after(embedded, progress))
    retired = retire(root, published.snapshot, partial(has_old_texts, config.store, spec=spec))
    return replace(published, retired=tuple(retired))


def _source(uri: str | None) -> str:
    return f" encoder.source={uri}" if uri else ""


def _after(embedded: Embedded, progress: Advance | None) -> Advance | None:
    """`progress` of the rows that are hashed, after those that were embedded."""
    if progress is None:
        return None
    before = embedded.encoded + embedded.kept + embedded.failed
    return lambda done, total, failed=0: progress(before + done, before + total, embedded.failed + failed)


def publish_listing(
    publication: Publication,
    listing: Listing,
    execution: Execution,
    read_unit: units.ReadUnit = units.read_unit,
    progress: Advance | None = None,
) -> Published:
    """Compare every range with the previous snapshot, hash what it needs, publish. progress: of the rows hashed."""
    ranges = list(execution.each(compare_range, [(publication, listing.folder, within) for within in listing.ranges]))
    hashing = replace(publication, previous=None)  # tasks that hash have no use for its long list of shards
    groups = _groups([done for done in ranges if done.wanted], execution.shard_rows)
    calls = [
        (hashing, [scratch_wanted(listing.folder, str(done.within)) for done in group], read_unit) for group in groups
    ]
    hashed, wanted, added = 0, sum(done.wanted for done in ranges), []
    for group, new in zip(groups, execution.each(hash_shard, calls)):
        added.append(new)
        hashed += sum(done.wanted for done in group)
        if progress:
            progress(hashed, wanted)
    reasons: Counter[str] = Counter()
    removed: dict[str, np.ndarray] = {}
    for done in ranges:
        reasons.update(done.reasons)
        for shard, bitmap in done.removed.items():
            removed[shard] = removed[shard] | bitmap if shard in removed else bitmap
    quarantine = Quarantine(tuple(done.quarantine for done in ranges if done.quarantine), reasons.total())
    number, document = publish(publication, added, removed, quarantine)
    return Published(publication.root, number, document, listing.inputs, hashed, dict(reasons.most_common()))


def compare_range(publication: Publication, folder: str, within: KeyRange) -> RangeDone:
    """Compare one range with the previous snapshot; store the rows to hash and the quarantine rows."""
    items, faults = partitions.read_settled(folder, within)
    compared = compare(publication, items, within)
    if compared.wanted.num_rows:
        partitions.write_rows(scratch_wanted(folder, str(within)), compared.wanted)
    failed = pa.concat_tables([faults, compared.failed])
    quarantine = store_quarantine(publication.root, failed) if failed.num_rows else None
    return RangeDone(within, compared.wanted.num_rows, quarantine, count_reasons(failed), compared.removed)


def _groups(ranges: list[RangeDone], shard_rows: int) -> list[list[RangeDone]]:
    """Neighbouring ranges together, up to `shard_rows` rows."""
    groups: list[list[RangeDone]] = []
    rows = 0
    for done in ranges:
        if not groups or rows + done.wanted > shard_rows:
            groups.append([])
            rows = 0
        groups[-1].append(done)
        rows += done.wanted
    return groups
