"""Planning, loading and encoding units by the real steps, in one process and without Ray."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from support.bulk_job import Job
from support.child import light_encoder

from mcmfh.archive.images import Limits
from mcmfh.archive.order import key_ranges
from mcmfh.bulk.embed import UnitEncoder, load_unit
from mcmfh.bulk.listing import plan_range, take_in
from mcmfh.embeddings.earlier import describe, earlier_encoders
from mcmfh.encoders import EncoderSpec
from mcmfh.encoders.base import Encoder
from mcmfh.pipeline.archive import open_manifest
from mcmfh.store.layout import embeddings_folder

SPEC = light_encoder.spec()


def another_version(spec: EncoderSpec, **identity: Any) -> EncoderSpec:
    """The same encoder as another version of this software has it: parts of its identity are other ones."""
    other = replace(spec)
    vars(other)["identity"] = spec.identity | identity
    return other


class Counting(Encoder):
    """The light encoder; counts what goes through it. `shift` is added to every vector, as other libraries might."""

    def __init__(self, spec: EncoderSpec = SPEC, shift: float = 0.0):
        super().__init__(spec, light_encoder.Towers())
        self.images = self.reports = 0
        self.shift = np.float32(shift)

    def encode_images(self, pixels: np.ndarray, fixed_batch: int | None = None) -> np.ndarray:
        self.images += len(pixels)
        return super().encode_images(pixels, fixed_batch) + self.shift

    def encode_reports(self, reports: Sequence[str], fixed_batch: int | None = None) -> np.ndarray:
        self.reports += len(reports)
        return super().encode_reports(reports, fixed_batch) + self.shift


class Steps:
    """Embeds manifests into the store of `job`; returns (pictures, reports) that went through the encoder."""

    def __init__(self, job: Job, scratch: Path):
        self.job, self.scratch, self.runs = job, scratch, 0
        self.folder = embeddings_folder(job.store, SPEC.digest)
        self.kept = self.noted = 0  # of the last run
        self.noted_before = 0  # as its plan says

    def __call__(
        self,
        manifest: str,
        once_planned: Callable[[], object] = lambda: None,
        spec: EncoderSpec = SPEC,
        shift: float = 0.0,
        keep_reports: bool = False,
    ) -> tuple[int, int]:
        config = self.job.config(manifest)
        self.runs += 1
        folder, scratch = embeddings_folder(config.store, spec.digest), f"file://{self.scratch}/{self.runs}"
        describe(config.store, spec)
        opened, encoder = open_manifest(config.archive), Counting(spec, shift)
        whole = key_ranges(100, 1000)
        for number, part in enumerate(opened.parts):
            take_in(scratch, whole, number, opened.uri, part, ())
        digests = [spec.digest, *earlier_encoders(config.store, spec)]
        planned = plan_range(scratch, whole[0], [embeddings_folder(config.store, name) for name in digests], 16, False)
        once_planned()
        step = UnitEncoder(lambda: encoder, spec.digest)
        self.kept = self.noted = 0
        self.noted_before = planned.window_shows_nothing if planned else 0
        for unit in planned.units if planned else []:
            row: dict[str, Any] = {
                "plan": [unit.plan],
                "row_group": [unit.row_group],
                "unit": [unit.digest],
                "rows": [unit.rows],
            }
            done = step(load_unit(row, Limits(), spec.preprocessing), folder, keep_reports)
            self.kept += done["kept"][0]
            self.noted += done["window_shows_nothing"][0]
        return encoder.images, encoder.reports
