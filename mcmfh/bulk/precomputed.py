"""Embeddings of another program as units: what encoder.name=precomputed does in place of decoding and encoding.

Pictures are not opened, so that an archive may list none. Reports are read where they are listed: their texts keep
equal reports together in a split, and are shown.
"""

import os
import time
from typing import Any

import numpy as np
import pyarrow as pa

from mcmfh.archive.images import Limits
from mcmfh.archive.loading import load_items
from mcmfh.embeddings import units
from mcmfh.embeddings.plan import Unit
from mcmfh.encoders.precomputed import read_precomputed

MISSING = "the precomputed embeddings hold none of this item"


class PrecomputedUnits:
    """An actor that holds the embeddings."""

    def __init__(self, source: str):
        self.rows = read_precomputed(source)
        self.row_of = {name: row for row, name in enumerate(self.rows.item_id.tolist())}

    def __call__(self, batch: dict[str, np.ndarray], limits: Limits, folder: str, keep_reports: bool) -> dict[str, Any]:
        """One plan row → its summary (the fields of bulk.embed.UnitDone), after the unit is stored below `folder`."""
        began = time.time()
        unit = Unit(str(batch["plan"][0]), int(batch["row_group"][0]), str(batch["unit"][0]), int(batch["rows"][0]))
        items = unit.items()
        marker = units.write_unit(folder, unit.digest, self._table(items, limits, keep_reports))
        done = {"rows": marker["rows"], "quarantined": marker["quarantined"], "worker": os.getpid()}
        done |= {"began": began, "ended": time.time(), "kept": 0, "window_shows_nothing": 0}
        return {name: [value] for name, value in done.items()}

    def _table(self, items: pa.Table, limits: Limits, keep_reports: bool) -> pa.Table:
        """The unit's results: an item without a vector is quarantined, one whose report cannot be read is not."""
        names = items["item_id"].to_pylist()
        rows = np.array([self.row_of.get(name, -1) for name in names], np.int64)
        contents = items.select(["report", "report_uri"]).to_pylist()
        listed = [i for i, row in enumerate(contents) if row["report"] or row["report_uri"]]
        texts: dict[str, list[str | None]] = {name: [None] * len(names) for name in ("report_sha256", "report")}
        for i, loaded in zip(listed, load_items((contents[i] for i in listed), limits)):
            texts["report_sha256"][i] = loaded.report_sha256 if loaded.report is not None else None
            texts["report"][i] = loaded.report if keep_reports else None
        present = {name: (rows >= 0) & getattr(self.rows, f"has_{name}")[rows] for name in ("image", "report")}
        nothing = ~(present["image"] | present["report"])
        columns: dict[str, list[str | None]] = {
            "reason": [MISSING if missing else None for missing in nothing.tolist()],
            "note": [None] * len(names),
            "image_sha256": [None] * len(names),
            **texts,
            "pixels_sha256": [None] * len(names),
        }
        table = items.select(["item_id", "fingerprint", "row"])
        for name, values in columns.items():
            table = table.append_column(name, pa.array(values, pa.string()))
        for name, has in present.items():
            vectors = np.where(has[:, None], getattr(self.rows, name)[rows], np.float32(0))
            column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1], mask=pa.array(~has))
            table = table.append_column(f"{name}_embedding", column)
        return table
