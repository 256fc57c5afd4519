"""Embedding an archive: what is new, through the configured encoder."""

from collections.abc import Callable
from dataclasses import dataclass

from mcmfh import ray_session
from mcmfh.archive.opened import Manifest
from mcmfh.bulk import embed as embedding
from mcmfh.bulk.listing import Listing, Planned, listed, plan
from mcmfh.config import Config
from mcmfh.encoders import EncoderSpec, encoder_spec
from mcmfh.errors import InputError
from mcmfh.store import files
from mcmfh.store.layout import archive_root

Progress = Callable[[int, int], None]  # (items done, items in all)


@dataclass(frozen=True)
class Embedded:
    """What embedding came to. Items that had an embedding already count in `reused`."""

    spec: EncoderSpec
    inputs: int
    encoded: int
    reused: int
    failed: int


def current_spec(config: Config) -> EncoderSpec:
    """The configured encoder on the device this cluster has."""
    return encoder_spec(config.encoder.name, ray_session.device(config.encoder.use_gpu), config.encoder.source)


def embed_archive(config: Config, manifest: Manifest, progress: Progress | None = None) -> Embedded:
    """Embed the items that have no embedding yet. Raises InputError above the allowed failure rate."""
    files.probe(config.store)
    spec = current_spec(config)
    with listed(config, archive_root(config.store, config.archive.name), manifest) as listing:
        planned = plan(config, listing, embedding.embeddings_folder(config.store, spec))
        return embed_planned(config, spec, listing, planned, progress)


def embed_planned(
    config: Config, spec: EncoderSpec, listing: Listing, planned: list[Planned], progress: Progress | None
) -> Embedded:
    work = [unit for one in planned for unit in one.units]
    todo = sum(unit.rows for unit in work)
    done = failed = 0
    for unit in embedding.embed(config, spec, work):
        done += unit.rows
        failed += unit.quarantined
        if progress:
            progress(done, todo)
        if done >= 200 and failed > config.archive.max_failure_rate * done:
            raise InputError(
                f"{failed} of {done} items cannot be read, more than archive.max_failure_rate="
                f"{config.archive.max_failure_rate} allows; run mcmfh check on the manifest, or raise the rate"
            )
    items = sum(one.items for one in planned)
    return Embedded(spec, listing.inputs, done - failed, items - todo, failed)
