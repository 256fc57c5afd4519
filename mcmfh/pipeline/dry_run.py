"""An estimate of a job before it runs: rows, bytes, memory and hours, from its plan and a sample.

A worker fetches, decodes and encodes the sample and discards the result. Hashing and publishing run at memory speed and
are not counted.
"""

import resource
import time
from dataclasses import dataclass

import numpy as np
import ray

from mcmfh.archive.images import Limits
from mcmfh.archive.loading import load_items
from mcmfh.archive.opened import Manifest
from mcmfh.bulk.listing import Listing, Planned, listed, plan
from mcmfh.config import Config
from mcmfh.embeddings.plan import Unit
from mcmfh.encoders import EncoderSpec, load_encoder
from mcmfh.errors import InputError
from mcmfh.pipeline.encoder import current_spec
from mcmfh.pipeline.execution import on_ray
from mcmfh.store import files
from mcmfh.store.layout import archive_root

SAMPLE_UNITS = 4
SAMPLE_ITEMS = 32  # of each


@dataclass(frozen=True)
class Sample:
    """Costs of one item on one core: seconds to load and to encode, bytes of its files; peak memory of the worker."""

    loading: float
    encoding: float
    bytes: float
    memory: int  # bytes


@dataclass(frozen=True)
class Estimate:
    """The work of a job, and how long it takes on the cores and GPUs of this cluster."""

    inputs: int
    items: int
    todo: int
    cores: int
    gpus: int
    sample: Sample | None  # None where nothing is to do

    @property
    def hours(self) -> float:
        if self.sample is None:
            return 0.0
        if self.gpus:
            seconds = max(self.sample.loading / self.cores, self.sample.encoding / self.gpus)
        else:
            seconds = (self.sample.loading + self.sample.encoding) / self.cores
        return self.todo * seconds / 3600

    def __str__(self) -> str:
        rows = f"{self.inputs:,} rows: {self.items:,} usable, {self.items - self.todo:,} embedded already"
        if self.sample is None:
            return f"{rows}; nothing to embed"
        return (
            f"{rows}, {self.todo:,} to embed: {self.todo * self.sample.bytes / 2**30:.2f} GiB to fetch, about "
            f"{self.hours:.2g} hours on {self.cores} cores and {self.gpus} GPUs, "
            f"{self.sample.memory / 2**20:.0f} MiB a worker"
        )


def estimate(config: Config, manifest: Manifest) -> Estimate:
    """List, plan and sample. Nothing is embedded or published."""
    spec = current_spec(config)
    if spec.name == "precomputed":
        raise InputError("precomputed embeddings are copied, not computed; run without embed.dry_run")
    each = on_ray(config).each
    with listed(config, archive_root(config.store, config.archive.name), manifest, each=each) as listing:
        return _estimate(config, spec, listing, plan(config, listing, spec, each))


def _estimate(config: Config, spec: EncoderSpec, listing: Listing, planned: list[Planned]) -> Estimate:
    work = [unit for each in planned for unit in each.units]
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    asked = config.encoder.gpus(spec.device)
    gpus = int(resources.get("GPU", 0)) if asked else 0
    chosen = [work[i] for i in np.unique(np.linspace(0, len(work) - 1, SAMPLE_UNITS).astype(int))] if work else []
    sample = ray.remote(num_cpus=1, num_gpus=asked)(take_sample)
    return Estimate(
        listing.inputs,
        sum(each.items for each in planned),
        sum(unit.rows for unit in work),
        int(resources["CPU"]),
        gpus,
        ray.get(sample.remote(spec, chosen, config.archive.limits)) if work else None,
    )


def take_sample(spec: EncoderSpec, chosen: list[Unit], limits: Limits) -> Sample:
    """Load and encode the first items of the chosen units twice; the second time is measured."""
    encoder = load_encoder(spec.name, spec.device, spec.source, spec.dtype)
    items = [item for unit in chosen for item in unit.items().slice(0, SAMPLE_ITEMS).to_pylist()]
    sizes = [_size(item[name]) for item in items for name in ("image_uri", "report_uri") if item[name]]
    seconds = []
    for _ in range(2):
        begun = time.perf_counter()
        loaded = list(load_items(items, limits))
        pixels = np.array([spec.preprocessing(item.image) for item in loaded if item.image is not None])
        between = time.perf_counter()
        if len(pixels):
            encoder.encode_images(pixels, fixed_batch=spec.batch_size)
        encoder.encode_reports([item.report for item in loaded if item.report], fixed_batch=spec.batch_size)
        seconds = [between - begun, time.perf_counter() - between]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Sample(seconds[0] / len(items), seconds[1] / len(items), sum(sizes) / len(items), memory)


def _size(uri: str) -> int:
    try:
        return files.size(uri)
    except OSError:  # The job will quarantine it.
        return 0
