"""Features of one's own become an archive's embeddings, and train, without pictures and without an encoder."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.embedded import configured, write_manifest
from support.planted import planted_table

from mcmfh.archive.images import Limits
from mcmfh.bulk.precomputed import MISSING, PrecomputedUnits
from mcmfh.embeddings import units
from mcmfh.embeddings.plan import write_plan
from mcmfh.encoders import encoder_spec
from mcmfh.errors import InputError
from mcmfh.hashing import load_bundle
from mcmfh.pipeline.archive import read_archive
from mcmfh.pipeline.train import embedding_table, train_archive
from mcmfh.store.layout import embeddings_folder

FORGOTTEN = "item-7"  # that the file does not name


@pytest.fixture
def table():
    return planted_table(60)


@pytest.fixture
def config(tmp_path, table):
    """An archive whose pictures do not exist, and the features of its items but one in a file of another order."""
    order = [i for i in np.random.default_rng(0).permutation(60).tolist() if table.item_id[i] != FORGOTTEN]
    columns = {"item_id": table.item_id[order].tolist()}
    for name in ("image", "report"):
        columns[f"{name}_embedding"] = [getattr(table, name)[i].tolist() for i in order]
    columns["image_embedding"][order.index(0)] = None
    pq.write_table(pa.table(columns), tmp_path / "features.parquet")
    more = ["encoder.name=precomputed", f"encoder.source={tmp_path / 'features.parquet'}", "encoder.device=cpu"]
    return configured(tmp_path, write_manifest(tmp_path, table), *more)


def embed(config, keep_reports=True) -> list[dict]:
    """The summaries of the archive's units of 16 items, stored."""
    spec = encoder_spec("precomputed", "cpu", config.encoder.source)
    items = read_archive(config.archive).items
    for name in ("earlier_encoder", "earlier_unit"):
        items = items.append_column(name, pa.array([""] * items.num_rows))
    items = items.append_column("earlier_row", pa.array([0] * items.num_rows))
    step, folder = PrecomputedUnits(spec.source), embeddings_folder(config.store, spec.digest)
    done = []
    for unit in write_plan(items, 16, f"{config.store}/plan"):
        row = {"plan": [unit.plan], "row_group": [unit.row_group], "unit": [unit.digest], "rows": [unit.rows]}
        done.append(step(row, Limits(), folder, keep_reports))
    return done


def test_items_get_their_own_features_and_no_picture_is_opened(config, table):
    done = embed(config)
    assert sum(each["rows"][0] for each in done) == 60
    assert sum(each["quarantined"][0] for each in done) == 1
    _, found = embedding_table(config, read_archive(config.archive))
    at = [table.item_id.tolist().index(name) for name in found.item_id]
    assert len(at) == 59
    np.testing.assert_array_equal(found.report, table.report[at])
    np.testing.assert_array_equal(found.has_image, found.item_id != "item-0")
    np.testing.assert_array_equal(found.image[found.has_image], table.image[at][found.has_image])
    assert all(found.text_key)


def test_what_the_file_lacks_is_quarantined_with_the_reason(config):
    embed(config, keep_reports=False)
    spec = encoder_spec("precomputed", "cpu", config.encoder.source)
    folder = embeddings_folder(config.store, spec.digest)
    rows = [row for name in units.done_units(folder) for row in units.read_unit(folder, name).to_pylist()]
    assert {row["item_id"]: row["reason"] for row in rows if row["reason"]} == {FORGOTTEN: MISSING}
    assert not any(row["report"] for row in rows)


def test_they_train_a_model_without_an_encoder(config, table):
    embed(config)
    bundle = load_bundle(train_archive(config, read_archive(config.archive)).bundle)
    assert (bundle.encoder, bundle.shape.image_width, bundle.shape.report_width) == ("precomputed", 48, 32)
    assert bundle.hash_embeddings(image=table.image[:3])["image"].shape == (3, 2)
    with pytest.raises(InputError, match="cannot encode"):
        bundle.hash_reports(["text"])


def test_a_file_without_one_side_is_refused(tmp_path):
    pq.write_table(pa.table({"item_id": ["a"], "image_embedding": [[1.0]]}), tmp_path / "images.parquet")
    with pytest.raises(InputError, match="none of any report"):
        encoder_spec("precomputed", "cpu", str(tmp_path / "images.parquet"))
