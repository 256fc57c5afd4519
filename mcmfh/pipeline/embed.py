"""Embedding an archive: items that have no embedding yet go through the configured encoder."""

from collections.abc import Iterator
from dataclasses import dataclass

from mcmfh.archive.opened import Manifest
from mcmfh.archive.picture import WINDOW_SHOWS_NOTHING
from mcmfh.bulk.listing import Listing, Planned, listed, plan
from mcmfh.config import Config
from mcmfh.console import Advance
from mcmfh.embeddings.earlier import describe, finish_removal, old_texts, remove_text
from mcmfh.encoders import EncoderSpec
from mcmfh.errors import InputError
from mcmfh.pipeline.execution import Execution, on_ray
from mcmfh.store import files
from mcmfh.store.layout import archive_root

ENOUGH = 200  # items after which a run can be given up


@dataclass(frozen=True)
class Embedded:
    """Result of embedding.

    encoded: items embedded now. reused: items that already had an embedding. kept: of the files that look new, or that
    an earlier version of this software read, the items that come out as before and keep their embeddings.
    window_shows_nothing: pictures of the whole archive that are shown by the range of their values.
    """

    spec: EncoderSpec
    inputs: int
    encoded: int
    reused: int
    failed: int
    kept: int = 0
    window_shows_nothing: int = 0

    def lines(self) -> Iterator[str]:
        """The report on it, for a terminal."""
        kept = f", kept {self.kept} that come out as before" if self.kept else ""
        yield f"embedded {self.encoded}{kept}, reused {self.reused}, failed {self.failed}, of {self.inputs} inputs"
        yield f"encoder {self.spec.name} {self.spec.digest[:12]} on {self.spec.device}"
        if self.window_shows_nothing:
            yield f"{self.window_shows_nothing} × {WINDOW_SHOWS_NOTHING}: shown by the range of their values instead"


def embed_archive(
    config: Config, manifest: Manifest, progress: Advance | None = None, execution: Execution | None = None
) -> Embedded:
    """Embed the items that have no embedding yet. Raises InputError above the allowed failure rate."""
    execution = execution or on_ray(config)
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
    progress: Advance | None,
    execution: Execution,
) -> Embedded:
    """Embed the units that are planned. Raises InputError above the allowed failure rate.

    The rate is that of the archive, with the items that failed in earlier runs. A run in which hundreds of new items
    fail stops before its end.
    """
    work = [unit for each in planned for unit in each.units]
    todo = sum(unit.rows for unit in work)
    done = failed = kept = 0
    window_shows_nothing = sum(each.window_shows_nothing for each in planned)
    describe(config.store, spec)
    for unit in execution.embed(config, spec, work):
        done += unit.rows
        failed += unit.quarantined
        kept += unit.kept
        window_shows_nothing += unit.window_shows_nothing
        if progress:
            progress(done, todo, failed)
        if done >= ENOUGH:
            _check_failures(config, failed, done)
    items = sum(each.items for each in planned)
    _check_failures(config, failed + sum(each.failed for each in planned), items)
    _remove_old_texts(config, spec, execution)
    return Embedded(spec, listing.inputs, done - failed - kept, items - todo, failed, kept, window_shows_nothing)


def _remove_old_texts(config: Config, spec: EncoderSpec, execution: Execution) -> None:
    """Remove the texts that earlier versions of the parsers left with the embeddings of any encoder of the store."""
    for old in old_texts(config.store, spec):
        for _ in execution.each(remove_text, [(old.embeddings, unit) for unit in old.units]):
            pass
        finish_removal(old)


def _check_failures(config: Config, failed: int, items: int) -> None:
    if failed > config.archive.max_failure_rate * items:
        raise InputError(
            f"{failed} of {items} items cannot be read, more than archive.max_failure_rate="
            f"{config.archive.max_failure_rate} allows; run mcmfh check on the manifest, or raise the rate"
        )
