"""Hashing, publishing and opening an archive of 10⁸ embedded items: seconds and peak memory.

The job's own steps scatter, settle, compare, hash, gather and publish a manifest's rows. Only the vectors are
synthetic: the hashing task draws them from the unit's name, because stored they would take 400 GB.
"""

import os
import resource
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mcmfh.archive.manifest import SCHEMA
from mcmfh.archive.modality import MODALITIES
from mcmfh.archive.order import KeyRange, key_ranges
from mcmfh.bulk.listing import RANGE_ROWS, Listing
from mcmfh.bulk.tasks import each
from mcmfh.embeddings import partitions, units
from mcmfh.embeddings.plan import unit_names
from mcmfh.encoders import EncoderSpec, ImagePreprocessing
from mcmfh.hashing.bundle import save_bundle
from mcmfh.hashing.canary import embedding_canary
from mcmfh.hashing.coder import Coder, Shape
from mcmfh.hashing.settings import ModelSettings
from mcmfh.pipeline.archive import PART_ROWS
from mcmfh.pipeline.execution import Execution
from mcmfh.pipeline.hash import publish_listing
from mcmfh.processes import below, command_line, peak_resident_bytes
from mcmfh.search.nearest import nearest_hits
from mcmfh.search.opening import open_snapshot
from mcmfh.snapshots.document import Model, Publication
from mcmfh.store import files
from mcmfh.store.layout import archive_root, bundles_folder, embeddings_folder, scratch_folder

WIDTH = 512
UNIT_ROWS = 1 << 14
T = TypeVar("T")


@dataclass(frozen=True)
class Measured:
    """Seconds by stage, peak resident bytes of the driver, of the largest worker and of the process that opened."""

    items: int
    seconds: dict[str, float]
    driver: int
    worker: int
    opener: int
    stored: int

    def __str__(self) -> str:
        stages = ", ".join(f"{name} {value:.0f}" for name, value in self.seconds.items())
        mib = [f"{value / 2**20:.0f} MiB" for value in (self.driver, self.worker, self.opener)]
        return (
            f"{self.items:,} items in {sum(self.seconds.values()):.0f} s ({stages}); peak memory: driver {mib[0]}, "
            f"worker {mib[1]}, opening {mib[2]}; archive and its cache {self.stored / 2**30:.1f} GiB"
        )


def measure_archive(items: int, folder: str, modalities: Sequence[str] = MODALITIES) -> Measured:
    """Run all stages on `items` synthetic items below the local `folder`. Ray must be connected."""
    root, model = archive_root(folder, "scale"), _model(bundles_folder(folder))
    embeddings = embeddings_folder(folder, model.encoder_digest)
    publication = Publication(root, embeddings, model, previous=None, keep_reports=False)
    scratch = scratch_folder(root, "0")
    listing = Listing(scratch, key_ranges(items, RANGE_ROWS), items)
    seconds: dict[str, float] = {}

    def stage(name: str, work: Callable[[], T]) -> T:
        begun = time.perf_counter()
        result = work()
        seconds[name] = time.perf_counter() - begun
        return result

    parts = [(scratch, listing.ranges, n, min(PART_ROWS, items - n * PART_ROWS)) for n in range(-(-items // PART_ROWS))]
    with _peak_of_workers() as worker:
        stage("list", lambda: list(each(list_part, parts)))
        stage("settle", lambda: list(each(settle_range, [(scratch, one, embeddings) for one in listing.ranges])))
        read_unit = read_drawn_unit if len(modalities) == 2 else read_drawn_images
        published = stage("hash and publish", lambda: publish_listing(publication, listing, Execution(), read_unit))
        driver = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        files.delete_tree(scratch)
        opened = stage("open", lambda: list(each(open_and_search, [(root, f"{folder}/cache")])))
    assert published.items == items
    stored = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    return Measured(items, seconds, driver, worker[0], opened[0], stored)


def list_part(folder: str, ranges: list[KeyRange], part: int, rows: int) -> None:
    """Write what listing one part of a manifest writes: rows with fingerprints, scattered to their ranges."""
    number = pa.array(np.arange(rows) + part * PART_ROWS)
    text = number.cast(pa.string())
    item, study = (pc.binary_join_element_wise(name, text, "-") for name in ("item", "study"))
    columns = {field.name: pa.nulls(rows, field.type) for field in SCHEMA}
    columns |= {"row": number, "item_id": item, "image_uri": pa.repeat("s3://synthetic", rows), "study_id": study}
    columns |= {"group": study, "labels": pa.array([[]], pa.list_(pa.string())).take(pa.array(np.zeros(rows, int)))}
    table = pa.table(columns, schema=SCHEMA).append_column("fingerprint", text)
    partitions.scatter(folder, ranges, part, table)


def settle_range(folder: str, within: KeyRange, embeddings: str) -> None:
    """Settle a range, and write what embedding it writes, without the vectors."""
    items = partitions.settle(folder, within)
    if items is not None:
        starts = np.arange(0, items.num_rows, UNIT_ROWS)
        done = items.select(["item_id", "fingerprint"]).append_column("reason", pa.nulls(items.num_rows, pa.string()))
        for start, name in zip(starts, unit_names(items, starts)):
            units.write_unit(embeddings, name, done.slice(start, UNIT_ROWS))


def read_drawn_unit(folder: str, unit: str, columns: Sequence[str] | None) -> pa.Table:
    """Vectors of both modalities for each row of a unit, drawn from its name."""
    return _drawn(folder, unit, columns, ("image_embedding", "report_embedding"))


def read_drawn_images(folder: str, unit: str, columns: Sequence[str] | None) -> pa.Table:
    """Image vectors for each row of a unit, drawn from its name."""
    return _drawn(folder, unit, columns, ("image_embedding",))


def open_and_search(root: str, cache: str) -> int:
    """Open the newest snapshot with `cache` and search it once; returns the peak bytes of this process."""
    snapshot = open_snapshot(root, cache=cache)
    assert len(nearest_hits(snapshot, {"image": np.zeros(2, np.uint8)}, 10, "image", 16).rows) == 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _drawn(folder: str, unit: str, columns: Sequence[str] | None, drawn: Sequence[str]) -> pa.Table:
    rows = units.read_unit(folder, unit, ["reason"]).num_rows
    rng = np.random.default_rng(int(unit[-16:], 16))
    table = {}
    for name in columns or drawn:
        noise = np.frombuffer(rng.bytes(rows * WIDTH), np.uint8) if name in drawn else np.zeros(rows * WIDTH, np.uint8)
        vectors = pa.array(np.subtract(noise, 127.5, dtype=np.float32))
        mask = None if name in drawn else pa.array(np.ones(rows, bool))
        table[name] = pa.FixedSizeListArray.from_arrays(vectors, WIDTH, mask=mask)
    return pa.table(table)


def _model(folder: str) -> Model:
    """Untrained linear heads of 16 bits."""
    spec = EncoderSpec("precomputed", "drawn", "drawn", ImagePreprocessing(), WIDTH, WIDTH, "cpu")
    shape = Shape(ModelSettings(method="itq"), WIDTH, WIDTH, (16,), 0)
    model = shape.build().eval()
    drawn = np.random.default_rng(0).standard_normal((64, WIDTH)).astype(np.float32)
    canary = embedding_canary(Coder(model, shape).all_logits, drawn, drawn, 0)
    uri = save_bundle(folder, model, shape, spec, calibration={}, metrics={}, canary=canary, training={})
    config = files.read_json(files.join(uri, "config.json"))
    return Model(uri, uri.rpartition("/")[2], config["code_digest"], spec.digest, shape.bits)


@contextmanager
def _peak_of_workers() -> Iterator[list[int]]:
    """[peak resident bytes of the largest Ray worker below this process], growing during the block."""
    peak, stop = [0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.5):
            workers = [pid for pid in below(os.getpid()) if command_line(pid).startswith("ray::")]
            peak[0] = max([peak[0], *map(peak_resident_bytes, workers)])

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()
