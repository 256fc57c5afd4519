"""On real Ray: a disk's items are loaded by who encodes them, a remote store's beside them, to the same embeddings."""

import numpy as np
import pyarrow as pa
import ray
from support import chaos_jobs

from mcmfh.archive.manifest import read_manifest
from mcmfh.archive.order import in_order
from mcmfh.benchmarks.bulk.contestants import contestant
from mcmfh.bulk.embed import embed
from mcmfh.config import load_config
from mcmfh.embeddings.plan import with_fingerprints, write_plan
from mcmfh.embeddings.stored import load_embeddings
from mcmfh.embeddings.table import EmbeddingTable
from mcmfh.store import files
from mcmfh.store.layout import embeddings_folder

ITEMS = 40


def embedded(root: str, monkeypatch) -> tuple[list[str], list[int], EmbeddingTable]:
    """(steps of Ray Data, rows of each unit, embeddings) of an archive below `root`."""
    steps: list[str] = []
    map_batches = ray.data.Dataset.map_batches
    monkeypatch.setattr(
        ray.data.Dataset,
        "map_batches",
        lambda self, step, **more: steps.append(step.__name__) or map_batches(self, step, **more),
    )
    manifest = chaos_jobs.write_archive(files.join(root, "archive"), ITEMS)
    spec, load = contestant("trivial")
    config = load_config([f"store={files.join(root, 'store')}", "embed.workers=2"], read_default=False)
    items = in_order(with_fingerprints(read_manifest(manifest)))
    for name in ("earlier_encoder", "earlier_unit"):
        items = items.append_column(name, pa.array([""] * ITEMS))
    items = items.append_column("earlier_row", pa.array([0] * ITEMS))
    plan = write_plan(items, 16, files.join(root, "plan"))
    done = list(embed(config, spec, plan, load))
    assert sum(unit.quarantined for unit in done) == chaos_jobs.BROKEN
    found = load_embeddings(embeddings_folder(config.store, spec.digest), items, (spec.image_width, spec.report_width))
    monkeypatch.undo()
    return steps, sorted(unit.rows for unit in done), found


def test_disk_and_remote_store_give_the_same(cluster, s3_root, tmp_path, monkeypatch):
    at_once, rows, here = embedded(f"file://{tmp_path}", monkeypatch)
    beside, rows_there, there = embedded(s3_root, monkeypatch)
    assert at_once == ["UnitWorker"]
    assert beside == ["load_unit", "UnitEncoder"]
    assert rows == rows_there == [8, 16, 16]
    assert len(here.item_id) == ITEMS - chaos_jobs.BROKEN
    for name in ("item_id", "image", "report", "text_key"):
        np.testing.assert_array_equal(getattr(here, name), getattr(there, name))
