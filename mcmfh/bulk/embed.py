"""Archive → embeddings: decode and encode on a pool of workers, one Parquet file a unit.

Ray Data streams units, never the archive: a row is a unit, first as the plan names it, then with its loaded pictures.
An encoder turns the row into a stored, marked unit and passes on its summary. A unit is finished once it is marked:
after a kill, the next run embeds the units that have no marker.

With a GPU or a remote store, loading is a stage of its own, so that encoders need not wait. Elsewhere one process
decodes and encodes a unit: passing pictures between processes costs a third of decoding them.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import ray
import ray.data

from mcmfh.archive.images import Limits
from mcmfh.archive.loading import load_items
from mcmfh.archive.picture import WINDOW_SHOWS_NOTHING
from mcmfh.bulk.pool import encoder_pool
from mcmfh.bulk.precomputed import PrecomputedUnits
from mcmfh.bulk.reuse import SEEN, Reused, proven, stored_vectors
from mcmfh.embeddings import units
from mcmfh.embeddings.plan import EARLIER, Unit
from mcmfh.encoders import EncoderSpec, ImagePreprocessing, load_encoder
from mcmfh.store import files
from mcmfh.store.layout import embeddings_folder

if TYPE_CHECKING:  # Loaders import this module and need neither.
    from mcmfh.config import Config
    from mcmfh.encoders.base import Encoder

# What a unit keeps of a loaded item.
_LOADED = ("reason", "note", "image_sha256", "report_sha256", "report")


@dataclass(frozen=True)
class UnitDone:
    """Summary of a unit: its items and how many are quarantined; the process that encoded it, and when (Unix time).

    kept: items that needed no encoding, because all that the encoder sees of them is the same as before.
    window_shows_nothing: pictures that are shown by the range of their values, for their window shows nothing.
    """

    rows: int
    quarantined: int
    worker: int
    began: float
    ended: float
    kept: int = 0
    window_shows_nothing: int = 0


def embed(
    config: "Config", spec: EncoderSpec, plan: list[Unit], load: "Callable[[], Encoder] | None" = None
) -> Iterator[UnitDone]:
    """Embed the units of `plan` and yield the summary of each as it finishes, in any order.

    load: makes the encoder of `spec` in a worker; by default the configured one.
    """
    if not plan:
        return
    if spec.name == "precomputed" and load is None:
        yield from _copied(config, spec, plan)
        return
    load = load or partial(load_encoder, config.encoder.name, spec.device, config.encoder.source, spec.dtype)
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    apart = spec.device == "cuda" or config.encoder.gpus(spec.device) > 0 or not _on_disk(plan[0])
    pool = encoder_pool(config, spec, len(plan), resources, apart)
    blocks = _blocks(plan)
    loading = {"limits": config.archive.limits, "preprocessing": spec.preprocessing}
    storing = {"folder": embeddings_folder(config.store, spec.digest), "keep_reports": config.archive.keep_reports}
    encoders: dict[str, Any] = {
        "fn_constructor_args": (load, spec.digest),
        "compute": pool.strategy,
        **pool.encoder,
    }
    if apart:
        loaders: dict[str, Any] = {"compute": pool.loading, **pool.loader}
        loaded = blocks.map_batches(load_unit, fn_kwargs=loading, batch_size=1, **loaders)  # type: ignore[arg-type]
        done = loaded.map_batches(UnitEncoder, fn_kwargs=storing, batch_size=1, **encoders)  # type: ignore[arg-type]
    else:
        done = blocks.map_batches(UnitWorker, fn_kwargs=loading | storing, batch_size=1, **encoders)  # type: ignore[arg-type]
    for summary in done.iter_rows():
        yield UnitDone(**summary)


def _copied(config: "Config", spec: EncoderSpec, plan: list[Unit]) -> Iterator[UnitDone]:
    """Precomputed embeddings, as units. Each process holds all of them; there are as many as encoders would be."""
    pool = encoder_pool(config, spec, len(plan), ray.cluster_resources(), apart=False)  # type: ignore[no-untyped-call]
    storing = {
        "limits": config.archive.limits,
        "folder": embeddings_folder(config.store, spec.digest),
        "keep_reports": config.archive.keep_reports,
    }
    copying: dict[str, Any] = {"fn_constructor_args": (spec.source,), "compute": pool.strategy, **pool.encoder}
    done = _blocks(plan).map_batches(PrecomputedUnits, fn_kwargs=storing, batch_size=1, **copying)  # type: ignore[arg-type]
    for summary in done.iter_rows():
        yield UnitDone(**summary)


def _blocks(plan: list[Unit]) -> ray.data.Dataset:
    """A block of one row for each unit."""
    rows = [{"plan": unit.plan, "row_group": unit.row_group, "unit": unit.digest, "rows": unit.rows} for unit in plan]
    return ray.data.from_items(rows, override_num_blocks=len(rows))


def _on_disk(unit: Unit) -> bool:
    """Whether all items of a unit are local files; one unit is taken as typical of the archive."""
    items = unit.items()
    return all(files.is_local(uri or "") for name in ("image_uri", "report_uri") for uri in items[name].to_pylist())


def load_unit(batch: dict[str, np.ndarray], limits: Limits, preprocessing: ImagePreprocessing) -> dict[str, Any]:
    """One plan row → the loaded unit as one row.

    unit: its digest; pixels: the pictures uint8[N, S, S, 3], zero where an item has none; items: an Arrow stream of its
    items with their reports, digests (`pixels_sha256` where an item has a picture), reasons and notes.
    """
    unit = Unit(str(batch["plan"][0]), int(batch["row_group"][0]), str(batch["unit"][0]), int(batch["rows"][0]))
    items = unit.items()
    pixels = np.zeros((items.num_rows, preprocessing.size, preprocessing.size, 3), np.uint8)
    columns: dict[str, list[str]] = {name: [] for name in _LOADED}
    seen = ["" for _ in range(items.num_rows)]
    contents = items.select(["image_uri", "report", "report_uri"]).to_pylist()
    for i, loaded in enumerate(load_items(contents, limits)):
        if loaded.image is not None:
            pixels[i] = preprocessing(loaded.image)
            seen[i] = hashlib.sha256(pixels[i]).hexdigest()
        for name, values in columns.items():
            values.append(getattr(loaded, name) or "")
    table = items.select(["item_id", "fingerprint", "row", *EARLIER])
    for name, values in (columns | {"pixels_sha256": seen}).items():
        table = table.append_column(name, pa.array(values, pa.string()))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    # Ray Data joins and splits blocks of many rows; a row stays whole.
    return {
        "unit": [unit.digest],
        "items": np.array([sink.getvalue().to_pybytes()], object),
        "pixels": pixels[np.newaxis],
    }


class UnitEncoder:
    """An actor that holds the encoder's weights."""

    def __init__(self, load: "Callable[[], Encoder]", digest: str):
        self.encoder = load()
        if self.encoder.spec.digest != digest:
            raise RuntimeError(
                "this worker's encoder differs from the driver's (library versions or weights); make all nodes equal"
            )

    def __call__(self, batch: dict[str, Any], folder: str, keep_reports: bool) -> dict[str, Any]:
        """Encode a row from `load_unit`, store it as a unit, return its summary (the fields of UnitDone)."""
        began = time.time()
        spec = self.encoder.spec
        items = pa.ipc.open_stream(batch["items"][0]).read_all()
        block = {name: items[name].to_numpy() for name in items.column_names} | {"pixels": batch["pixels"][0]}
        reused = {
            name: proven(stored, partial(self._encode, name, block), spec.batch_size)
            for name, stored in stored_vectors(block, folder, spec).items()
        }
        new = {name: (block[SEEN[name]] != "") & ~stored.rows for name, stored in reused.items()}
        columns = {name: _text(block[name]) for name in (*_LOADED, "pixels_sha256")}
        if not keep_reports:
            columns["report"] = pa.nulls(len(items), pa.string())
        for name, stored in reused.items():
            columns[f"{name}_embedding"] = _vectors(stored, new[name], self._encode(name, block, new[name]))
        table = items.select(["item_id", "fingerprint", "row"])
        for name, column in columns.items():
            table = table.append_column(name, column)
        marker = units.write_unit(folder, str(batch["unit"][0]), table)
        kept = (block["reason"] == "") & ~new["image"] & ~new["report"]
        nothing = int((block["note"] == WINDOW_SHOWS_NOTHING).sum())
        done = UnitDone(
            marker["rows"], marker["quarantined"], os.getpid(), began, time.time(), int(kept.sum()), nothing
        )
        return {name: [value] for name, value in vars(done).items()}

    def _encode(self, modality: str, block: dict[str, Any], rows: np.ndarray) -> np.ndarray:
        """float32[n, D] of the chosen rows of a block, in batches of the fixed shape."""
        size = self.encoder.spec.batch_size
        if modality == "report":
            return self.encoder.encode_reports([str(report) for report in block["report"][rows]], size)
        whole = rows.dtype == bool and rows.all()  # selecting all rows would copy them
        return self.encoder.encode_images(block["pixels"] if whole else block["pixels"][rows], size)


class UnitWorker:
    """An actor that loads units and encodes them."""

    def __init__(self, load: "Callable[[], Encoder]", digest: str):
        self.encode = UnitEncoder(load, digest)

    def __call__(
        self,
        batch: dict[str, np.ndarray],
        limits: Limits,
        preprocessing: ImagePreprocessing,
        folder: str,
        keep_reports: bool,
    ) -> dict[str, Any]:
        """One plan row, as `load_unit` takes it → its summary, as `UnitEncoder` gives it."""
        return self.encode(load_unit(batch, limits, preprocessing), folder, keep_reports)


def _text(values: np.ndarray) -> pa.Array:
    return pa.array([value or None for value in values], pa.string())


def _vectors(reused: Reused, new: np.ndarray, embeddings: np.ndarray) -> pa.Array:
    """fixed_size_list<float32>[N] of the reused and the `new` rows, null elsewhere."""
    vectors = reused.vectors
    vectors[new] = embeddings
    missing = pa.array(~(reused.rows | new))
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1], mask=missing)
