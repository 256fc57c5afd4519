"""Archive → embeddings: decode on CPU workers, encode on an actor pool, one Parquet file a unit.

Ray Data streams units (rows of a plan), never the archive: a loading task turns one unit into one block of pictures,
an encoder actor turns the block into a stored, marked unit and passes on a one-line summary. Whatever is killed, a
unit is done when its marker stands, and the next run begins with those that have none.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import ray.data

from mcmfh import storage
from mcmfh.archive.images import Limits
from mcmfh.archive.loading import load_items
from mcmfh.config import Config
from mcmfh.encoders import EncoderSpec, ImagePreprocessing
from mcmfh.snapshots import units
from mcmfh.snapshots.plan import Unit


@dataclass(frozen=True)
class UnitDone:
    """What a unit came to: items seen and, of these, quarantined."""

    rows: int
    quarantined: int


def embeddings_folder(store: str, spec: EncoderSpec) -> str:
    return storage.join(storage.absolute(store), "embeddings", spec.digest)


def embed(config: Config, spec: EncoderSpec, plan: list[Unit]) -> Iterator[UnitDone]:
    """Embed the units of `plan`, yielding one summary a unit as they finish, in any order."""
    if not plan:
        return
    on_gpu = spec.device == "cuda"
    resources = ray.cluster_resources()
    workers = config.embed.workers or int(resources["GPU"] if on_gpu else resources["CPU"])
    workers = min(workers, len(plan))
    rows = [{"plan": unit.plan, "row_group": unit.row_group, "unit": unit.digest, "rows": unit.rows} for unit in plan]
    blocks = ray.data.from_items(rows, override_num_blocks=len(rows))
    loaded = blocks.map_batches(
        load_unit,  # type: ignore[arg-type]
        fn_kwargs={"limits": config.archive.limits, "preprocessing": spec.preprocessing},
        batch_size=1,
        num_cpus=0.5,
    )
    done = loaded.map_batches(
        UnitEncoder,  # type: ignore[arg-type]
        fn_constructor_args=(config.encoder.name, config.encoder.source, spec.digest, spec.device),
        fn_kwargs={
            "folder": embeddings_folder(config.store, spec),
            "batch_size": config.embed.batch_size,
            "keep_reports": config.archive.keep_reports,
        },
        batch_size=None,
        compute=ray.data.ActorPoolStrategy(size=workers),
        # Two encoders and a loader share two cores; the loader is idle most of the time.
        num_cpus=0.75,
        num_gpus=1 if on_gpu else 0,
    )
    for summary in done.iter_rows():
        yield UnitDone(int(summary["rows"]), int(summary["quarantined"]))


def load_unit(batch: dict[str, np.ndarray], limits: Limits, preprocessing: ImagePreprocessing) -> dict[str, Any]:
    """One plan row → one block: the unit's items with pictures uint8[S, S, 3], reports, digests, reasons."""
    unit = Unit(str(batch["plan"][0]), int(batch["row_group"][0]), str(batch["unit"][0]), int(batch["rows"][0]))
    items = unit.items()
    pixels = np.zeros((items.num_rows, preprocessing.size, preprocessing.size, 3), np.uint8)
    columns: dict[str, list] = {name: [] for name in ("report", "image_sha256", "report_sha256", "reason")}
    has_image = np.zeros(items.num_rows, bool)
    contents = items.select(["image_uri", "report", "report_uri"]).to_pylist()
    for i, loaded in enumerate(load_items(contents, limits)):
        if loaded.image is not None:
            pixels[i] = preprocessing(loaded.image)
            has_image[i] = True
        for name, values in columns.items():
            values.append(getattr(loaded, name) or "")
    return {
        "unit": np.full(items.num_rows, unit.digest),
        "pixels": pixels,
        "has_image": has_image,
        **{name: np.array(items[name].to_pylist(), object) for name in ("item_id", "fingerprint")},
        "row": items["row"].to_numpy(),
        **{name: np.array(values, object) for name, values in columns.items()},
    }


class UnitEncoder:
    """An actor that holds the encoder's weights."""

    def __init__(self, name: str, source: str | None, digest: str, device: str):
        from mcmfh.encoders import load_encoder

        self.encoder = load_encoder(name, device, source)
        if self.encoder.spec.digest != digest:
            raise RuntimeError(
                "this worker's encoder differs from the driver's (library versions or weights); make all nodes equal"
            )

    def __call__(self, block: dict[str, Any], folder: str, batch_size: int, keep_reports: bool) -> dict[str, Any]:
        """Encode a block from `load_unit`, store it as a unit, return its summary."""
        table = pa.table(
            {
                "item_id": pa.array(block["item_id"], pa.string()),
                "fingerprint": pa.array(block["fingerprint"], pa.string()),
                "row": pa.array(block["row"], pa.int64()),
                "reason": _text(block["reason"]),
                "image_sha256": _text(block["image_sha256"]),
                "report_sha256": _text(block["report_sha256"]),
                "report": _text(block["report"]) if keep_reports else pa.nulls(len(block["row"]), pa.string()),
                "image_embedding": self._images(block, batch_size),
                "report_embedding": self._reports(block, batch_size),
            }
        )
        marker = units.write_unit(folder, str(block["unit"][0]), table)
        return {"rows": [marker["rows"]], "quarantined": [marker["quarantined"]]}

    def _images(self, block: dict[str, Any], batch_size: int) -> pa.Array:
        present = np.asarray(block["has_image"], bool)
        embeddings = self.encoder.encode_images(block["pixels"][present], fixed_batch=batch_size)
        return _vectors(embeddings, present)

    def _reports(self, block: dict[str, Any], batch_size: int) -> pa.Array:
        reports = [str(report) for report in block["report"]]
        present = np.array([bool(report) for report in reports], bool)
        embeddings = self.encoder.encode_reports([text for text in reports if text], fixed_batch=batch_size)
        return _vectors(embeddings, present)


def _text(values: np.ndarray) -> pa.Array:
    return pa.array([value or None for value in values], pa.string())


def _vectors(embeddings: np.ndarray, present: np.ndarray) -> pa.Array:
    """fixed_size_list<float32>[N], null where not `present`."""
    full = np.zeros((len(present), embeddings.shape[1]), np.float32)
    full[present] = embeddings
    return pa.FixedSizeListArray.from_arrays(pa.array(full.ravel()), embeddings.shape[1], mask=pa.array(~present))
