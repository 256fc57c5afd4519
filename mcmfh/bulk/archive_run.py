"""The two bulk jobs, stage by stage: embed what is new, hash it, publish a snapshot.

`jobs/embed.py`, `jobs/hash_archive.py` and the demo call these; a `Progress` callable hears of every finished unit.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from mcmfh import ray_session, storage
from mcmfh.bulk import embed as embedding
from mcmfh.bulk import hash as hashing
from mcmfh.config import Config
from mcmfh.encoders import EncoderSpec, encoder_spec
from mcmfh.errors import InputError
from mcmfh.hashing import load_bundle, registry
from mcmfh.snapshots.archive import Archive, archive_root
from mcmfh.snapshots.plan import without_done
from mcmfh.snapshots.publish import Model, check_model, publish

Progress = Callable[[int, int], None]  # (items done, items in all)


@dataclass(frozen=True)
class Embedded:
    """What embedding came to. Items that had an embedding already count in `reused`."""

    spec: EncoderSpec
    encoded: int
    reused: int
    failed: int


@dataclass(frozen=True)
class Published:
    """A snapshot: inputs = items + quarantined."""

    root: str
    snapshot: int
    inputs: int
    items: int
    quarantined: pa.Table
    hashed: int


def current_spec(config: Config) -> EncoderSpec:
    """The configured encoder on the device this cluster has."""
    return encoder_spec(config.encoder.name, ray_session.device(config.encoder.use_gpu), config.encoder.source)


def embed_archive(config: Config, archive: Archive, progress: Progress | None = None) -> Embedded:
    """Embed the items that have no embedding yet. Raises InputError above the allowed failure rate."""
    storage.probe(config.store)
    spec = current_spec(config)
    plan = embedding.plan_embedding(config, spec, archive.items)
    todo = sum(unit.rows for unit in plan)
    done = failed = 0
    for unit in embedding.embed(config, spec, plan):
        done += unit.rows
        failed += unit.quarantined
        if progress:
            progress(done, todo)
        if done >= 200 and failed > config.archive.max_failure_rate * done:
            raise InputError(
                f"{failed} of {done} items cannot be read, more than archive.max_failure_rate="
                f"{config.archive.max_failure_rate} allows; run mcmfh check on the manifest, or raise the rate"
            )
    return Embedded(spec, done - failed, archive.items.num_rows - todo, failed)


def hash_archive(config: Config, archive: Archive, progress: Progress | None = None) -> Published:
    """Embed what is new, hash it with the chosen bundle, publish the next snapshot."""
    uri = registry.resolve(config.store, config.hash.bundle)
    bundle = load_bundle(uri)
    spec = embed_archive(config, archive, progress).spec
    if spec.digest != bundle.config["encoder_digest"]:
        raise InputError(
            f"the model at '{uri}' was trained on embeddings of another encoder; train again, or use its encoder"
        )
    root = archive_root(config.store, config.archive.name)
    known = check_model(root, bundle.code_digest, config.hash.replace_model)
    wanted = without_done(archive.items, known)
    folder = hashing.run_folder(root, bundle.code_digest)
    embeddings = embedding.embeddings_folder(config.store, spec)
    plan, failed = hashing.plan_hashing(embeddings, wanted)
    hashed = 0
    for rows in hashing.hash_units(embeddings, folder, uri, plan):
        hashed += rows
    new = hashing.gather(folder, plan, wanted, config.archive.keep_reports)
    quarantined = pa.concat_tables([archive.quarantined(), failed])
    model = Model(uri, bundle.bundle_digest, bundle.code_digest, spec.digest, tuple(bundle.bits))
    number, document = publish(
        root, model, new, archive.items["item_id"].to_pylist(), list(known), quarantined, config.archive.filters
    )
    return Published(root, number, archive.inputs, document["items"], quarantined, hashed)
