"""What the old store's maker and its test share: an encoder of whole numbers, the settings of each job, and questions.

This file runs under the code of either side, so it imports only modules that both have.
"""

import csv
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from mcmfh.archive.loading import load_items
from mcmfh.encoders.preprocessing import ImagePreprocessing
from mcmfh.encoders.spec import EncoderSpec

# Snapshots name bundles and images by absolute address, so the store must lie where it was written. On a server of its
# own a test can give it that address; on a disk it could not.
FOLDER = "s3://tests/old-store"
STORE, ARCHIVE = f"{FOLDER}/store", f"{FOLDER}/archive"
WIDTH = 24
UNIT = 16  # items
JOB = [f"store={STORE}", f"embed.unit_items={UNIT}", "archive.filters=[ward]"]
TRAINING = [
    "train.workers=0",
    "train.bits=[16,32]",
    "train.hidden=8",
    "train.epochs=3",
    "train.min_steps=1",
    "train.batch_size=16",
]
KILLED_TRAINING = [*TRAINING, "train.seed=1"]


class ExactSpec(EncoderSpec):
    """An identity without library versions: whole numbers come out the same whatever is installed."""

    @property
    def identity(self) -> dict[str, Any]:
        return {"name": self.name, "weights": self.weights, "device": self.device, "libraries": {}}


# "precomputed", so that no canary goes through an encoder.
SPEC = ExactSpec("precomputed", "whole numbers", "exact", ImagePreprocessing(8), WIDTH, WIDTH, "cpu")
_MATRIX = np.arange(256 * WIDTH).reshape(256, WIDTH) ** 2 % 17 - 8


def embedded(items: pa.Table) -> pa.Table:
    """The results of a unit. Every sum is a whole number below 2²⁴, so float32 holds it exactly."""
    loaded = list(load_items(items.select(["image_uri", "report", "report_uri"]).to_pylist()))
    table = items.select(["item_id", "fingerprint", "row"])
    for name in ("reason", "image_sha256", "report_sha256", "report"):
        table = table.append_column(name, pa.array([getattr(each, name) for each in loaded], "string"))
    images = [None if each.image is None else _counts(np.asarray(each.image).ravel()) for each in loaded]
    reports = [None if each.report is None else _counts(_bytes(each.report)) for each in loaded]
    kind = pa.list_(pa.float32(), WIDTH)
    table = table.append_column("image_embedding", pa.array(images, kind))
    return table.append_column("report_embedding", pa.array(reports, kind))


def pictures_and_rows(count: int) -> tuple[dict[str, bytes], list[dict[str, str]]]:
    """(pictures by name, manifest rows). Three pictures cannot be read, and every ninth item has no report."""
    pictures, rows = {}, []
    for number in range(count):
        rng = np.random.default_rng(number)
        theme = number % 4  # what picture and report have in common, so that training learns something
        sink = io.BytesIO()
        Image.fromarray(rng.integers(40 * theme, 40 * theme + 90, (10, 10), np.uint8)).save(sink, "PNG")
        name = f"i{number:03d}"
        pictures[f"{name}.png"] = b"no picture" if number in (1, 50, 101) else sink.getvalue()
        report = f"{('clear lungs', 'mass', 'fracture', 'effusion')[theme]} {rng.integers(10**6)}"
        rows.append(
            {
                "item_id": name,
                "image_uri": f"pictures/{name}.png",
                "report": report if number % 9 else "",
                "study_id": f"s{number // 2}",
                "group": f"g{number // 2}",
                "labels": f"theme-{theme}",
                "date": f"20{10 + number % 12}-03-01",
                "ward": "ABC"[number % 3],
            }
        )
    return pictures, rows


def manifest(rows: list[dict[str, str]]) -> bytes:
    """Rows as CSV."""
    sink = io.StringIO()
    writer = csv.DictWriter(sink, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    return sink.getvalue().encode()


def answers(retrieval: Any, ask: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """The answers of a snapshot to codes, filters and item_ids, as JSON; `ask` searches with the fields of a query."""
    rng = np.random.default_rng(0)
    questions = []
    for bits in (16, 32):
        for modality in ("image", "report"):
            for target in ("image", "report", "study"):
                for more in ({}, {"where": {"ward": "B"}}, {"max_distance": bits // 3, "histogram": True}):
                    code = rng.bytes(bits // 8).hex()
                    questions.append(
                        {"code": code, "modality": modality, "target": target, "bits": bits, "k": 3, **more}
                    )
    return {
        "version": {name: value for name, value in retrieval.version.items() if not name.startswith("device")},
        "hits": [{"question": asked, "answer": ask(asked)} for asked in questions],
        "items": {name: retrieval.item(name) for name in ("i000", "i001", "i005", "i020", "i040", "i095", "i999")},
    }


def _bytes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8)


def _counts(values: np.ndarray) -> list[float]:
    counts = np.bincount(values, minlength=256)
    return [float(value) for value in counts @ _MATRIX]
