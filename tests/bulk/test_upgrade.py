"""After an upgrade, what comes out otherwise is embedded anew, and every other vector is taken over."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from support import chaos_jobs
from support.unit_steps import SPEC, Steps, another_version

from mcmfh.archive.manifest import read_manifest
from mcmfh.archive.reports import REPORT_POLICY
from mcmfh.embeddings import units
from mcmfh.embeddings.earlier import describe, earlier_encoders, finish_removal, old_texts, remove_text
from mcmfh.embeddings.plan import with_fingerprints
from mcmfh.embeddings.stored import load_embeddings
from mcmfh.store import files, layout

ITEMS = 40
OLD = {
    "reports": another_version(SPEC, report_policy="report-1"),
    "pictures": another_version(SPEC, decode_policy="picture-0"),
    "decoders": another_version(SPEC, libraries=SPEC.identity["libraries"] | {"pydicom": "0.1"}),
}
OTHER_TORCH = another_version(SPEC, libraries=SPEC.identity["libraries"] | {"torch": "0.1"})


@pytest.fixture
def embed(new_job, tmp_path) -> Steps:
    return Steps(new_job(), tmp_path / "scratch")


@pytest.fixture
def manifest(tmp_path) -> str:
    return chaos_jobs.write_archive(f"file://{tmp_path}/archive", ITEMS)


def vectors(embed, manifest, spec=SPEC):
    folder = layout.embeddings_folder(embed.job.store, spec.digest)
    return load_embeddings(folder, with_fingerprints(read_manifest(manifest)), (SPEC.image_width, SPEC.report_width))


def read_otherwise(folder: str, column: str, count: int) -> int:
    """Pretend that the old version read `count` items otherwise; returns how many it did."""
    changed = 0
    for name in units.done_units(folder):
        table = units.read_unit(folder, name)
        values = table[column].to_pylist()
        for row, value in enumerate(values):
            if value and changed < count:
                values[row] = hashlib.sha256(value.encode()).hexdigest()
                changed += 1
        files.delete(layout.unit_uri(folder, name))
        files.delete(layout.unit_marker(folder, name))
        table = table.set_column(table.schema.get_field_index(column), column, pa.array(values, pa.string()))
        units.write_unit(folder, name, table)
    return changed


@pytest.mark.parametrize("old", OLD.values(), ids=OLD)
def test_what_comes_out_as_before_is_taken_over(embed, manifest, old):
    first = embed(manifest, spec=old, shift=1.0)  # a shift, so that a taken-over vector can be told from a new one
    assert min(first) > ITEMS / 2
    assert embed(manifest) == (0, 0)
    before, after = vectors(embed, manifest, old), vectors(embed, manifest)
    for name in ("image", "report", "has_image", "has_report"):
        assert np.array_equal(getattr(before, name), getattr(after, name))
    assert embed.kept == ITEMS - chaos_jobs.BROKEN


@pytest.mark.parametrize(
    ("old", "column", "expected"),
    [
        (OLD["reports"], "report_sha256", (0, 5)),
        (OLD["pictures"], "pixels_sha256", (5, 0)),
        (OLD["decoders"], "pixels_sha256", (5, 0)),
    ],
)
def test_exactly_what_comes_out_otherwise_is_embedded(embed, manifest, old, column, expected):
    embed(manifest, spec=old)
    assert read_otherwise(layout.embeddings_folder(embed.job.store, old.digest), column, 5) == 5
    assert embed(manifest) == expected
    assert embed(manifest) == (0, 0)


@pytest.mark.parametrize("old", [another_version(SPEC, weights="other"), another_version(SPEC, device="cuda")])
def test_another_encoder_s_vectors_are_left_alone(embed, manifest, old):
    first = embed(manifest, spec=old)
    assert embed(manifest) == first


def test_other_libraries_prove_themselves_by_a_sample(embed, manifest):
    first = embed(manifest, spec=OTHER_TORCH)
    images, reports = embed(manifest)
    units_of_both = 3 * SPEC.batch_size
    assert 0 < images <= units_of_both
    assert 0 < reports <= units_of_both
    assert embed.kept == ITEMS - chaos_jobs.BROKEN, f"the sample is compared, and all of {first} is taken over"


def test_other_libraries_that_compute_otherwise_are_not_believed(embed, manifest):
    embed(manifest, spec=OTHER_TORCH, shift=2.0**-20)
    embed(manifest)
    assert embed.kept == 0
    alone = Steps(embed.job, embed.scratch / "alone")
    alone(manifest, spec=another_version(SPEC, weights="alone"))
    assert np.array_equal(
        vectors(embed, manifest).image, vectors(embed, manifest, another_version(SPEC, weights="alone")).image
    )


def texts(folder: str) -> list[str]:
    names = units.done_units(folder)
    return [text for name in names for text in units.read_unit(folder, name)["report"].to_pylist() if text]


@pytest.mark.parametrize("described", [True, False])
def test_texts_of_an_earlier_parser_are_removed(embed, manifest, described):
    old, store = OLD["reports"], embed.job.store
    embed(manifest, spec=old, keep_reports=True)
    folder = layout.embeddings_folder(store, old.digest)
    if not described:  # a version that stored no identity, and whose plans hold the texts of tables
        files.delete(layout.encoder_identity(folder))
        files.create(files.join(layout.earlier_plans(folder), "plan.parquet"), b"a text of a table")
    before = vectors(embed, manifest, old)
    embed(manifest, keep_reports=True)
    assert texts(folder)
    (left,) = old_texts(store, SPEC)
    for name in left.units:
        remove_text(left.embeddings, name)
    finish_removal(left)
    assert texts(folder) == []
    assert not files.names(layout.earlier_plans(folder))
    assert texts(layout.embeddings_folder(store, SPEC.digest))
    assert list(old_texts(store, SPEC)) == []
    assert np.array_equal(vectors(embed, manifest, old).report, before.report), "the vectors stay"


@pytest.mark.parametrize("policy", [REPORT_POLICY, "report-99"])
def test_texts_of_the_same_or_a_later_parser_stay(embed, manifest, policy):
    later = another_version(SPEC, report_policy=policy, weights="other")
    embed(manifest, spec=later, keep_reports=True)
    files.create(files.join(layout.embeddings_root(embed.job.store), "devices", "x.json"), b"{}")
    assert list(old_texts(embed.job.store, SPEC)) == []


def test_encoders_that_need_no_proof_come_first(new_job):
    store = new_job().store
    for spec in (OTHER_TORCH, OLD["pictures"], SPEC):
        describe(store, spec)
    assert earlier_encoders(store, SPEC) == [OLD["pictures"].digest, OTHER_TORCH.digest]
