"""Embedding an archive: items that have no embedding yet go through the configured encoder."""

from collections.abc import Callable
from dataclasses import dataclass

from mcmfh.archive.opened import Manifest
from mcmfh.bulk.listing import Listing, Planned, listed, plan
from mcmfh.config import Config
from mcmfh.encoders import EncoderSpec
from mcmfh.errors import InputError
from mcmfh.pipeline.execution import ON_RAY, Execution
from mcmfh.store import files
from mcmfh.store.layout import archive_root

Progress = Callable[[int, int], None]  # (items done, items in all)
ENOUGH = 200  # items after which a run can be given up


@dataclass(frozen=True)
class Embedded:
    """Result of embedding. `reused`: items that already had an embedding."""

    spec: EncoderSpec
    inputs: int
    encoded: int
    reused: int
    failed: int


def embed_archive(
    config: Config, manifest: Manifest, progress: Progress | None = None, execution: Execution = ON_RAY
) -> Embedded:
    """Embed the items that have no embedding yet. Raises InputError above the allowed failure rate."""
    files.probe(config.store)
    spec = execution.spec(config)
    root = archive_root(config.store, config.archive.name)
    with listed(config, root, manifest, each=execution.each, range_rows=execution.range_rows) as listing:
        planned = plan(config, listing, spec, execution.each)
        return embed_planned(config, spec, listing, planned, progress, execution)


def embed_planned(
    config: Config,
    spec: EncoderSpec,
    listing: Listing,
    planned: list[Planned],
    progress: Progress | None,
    execution: Execution = ON_RAY,
) -> Embedded:
    """Embed the units that are planned. Raises InputError above the allowed failure rate.

    The rate is that of the archive, with the items that failed in earlier runs. A run in which hundreds of new items
    fail stops before its end.
    """
    work = [unit for each in planned for unit in each.units]
    todo = sum(unit.rows for unit in work)
    done = failed = 0
    for unit in execution.embed(config, spec, work):
        done += unit.rows
        failed += unit.quarantined
        if progress:
            progress(done, todo)
        if done >= ENOUGH:
            _check_failures(config, failed, done)
    items = sum(each.items for each in planned)
    _check_failures(config, failed + sum(each.failed for each in planned), items)
    return Embedded(spec, listing.inputs, done - failed, items - todo, failed)


def _check_failures(config: Config, failed: int, items: int) -> None:
    if failed > config.archive.max_failure_rate * items:
        raise InputError(
            f"{failed} of {items} items cannot be read, more than archive.max_failure_rate="
            f"{config.archive.max_failure_rate} allows; run mcmfh check on the manifest, or raise the rate"
        )
