"""The provenance of a page: what its figures were made from, and the overrides of the configuration that made them."""

from collections.abc import Sequence
from typing import Any

from mcmfh.config import Config
from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.encoders import EncoderSpec
from mcmfh.evaluation.provenance import Provenance, overrides_of
from mcmfh.store import files

JOB = "jobs/evaluate.py"


def page_provenance(
    config: Config,
    table: EmbeddingTable,
    spec: EncoderSpec,
    settings: Any,
    seeds: Sequence[int],
    code: str,
    bundle: str | None = None,
) -> Provenance:
    """Of a page about `table`. `settings`: all that was set, as JSON. `bundle`: URI of the model that was evaluated."""
    return Provenance(
        archive=table.archive_digest,
        embedded=table.coverage.of() if table.coverage else None,
        split=table.split_digest,
        encoder=f"{spec.name} {spec.digest[:12]}",
        settings=files.digest(settings),
        seeds=tuple(seeds),
        code=code,
        job=JOB,
        overrides=page_overrides(config, bundle),
    )


def page_overrides(config: Config, bundle: str | None = None) -> tuple[str, ...]:
    """Of the sections that an evaluation reads. Addresses are absolute: the page may be reproduced from elsewhere."""
    given, default = (each.model_dump(mode="json") for each in (config, Config()))
    for section, key in (("archive", "manifest"), ("evaluate", "train_manifest")):
        if given[section][key]:
            given[section][key] = files.absolute(given[section][key])
    words = overrides_of("", {"store": files.absolute(config.store)}, {})
    sections = {"model": (), "encoder": (), "pretraining": ("pretrain",)}.get(config.evaluate.compare, ("train",))
    for section in ("archive", "encoder", "evaluate", *sections):
        words += overrides_of(section, given[section], default[section])
    return *words, *(overrides_of("hash", {"bundle": bundle}, {}) if bundle else [])
