"""Files that look new and hold the same are not encoded again; by the real loader and encoder step, without Ray."""

import os
from pathlib import Path

import numpy as np
import pytest
from support import chaos_jobs
from support.unit_steps import SPEC, Steps

from mcmfh.archive.manifest import read_manifest
from mcmfh.embeddings import units
from mcmfh.embeddings.plan import with_fingerprints
from mcmfh.embeddings.stored import load_embeddings
from mcmfh.store import files
from mcmfh.store.layout import unit_marker, unit_uri

ITEMS = 40


@pytest.fixture
def embed(new_job, tmp_path) -> Steps:
    return Steps(new_job(), tmp_path / "scratch")


def stored(folder: str, manifest: str):
    return load_embeddings(folder, with_fingerprints(read_manifest(manifest)), (SPEC.image_width, SPEC.report_width))


def pictures(manifest: str) -> list[str]:
    uris = read_manifest(manifest)["image_uri"].to_pylist()
    return [uri.removeprefix("file://") for uri in uris if uri and os.path.exists(uri.removeprefix("file://"))]


def test_touched_files_are_read_and_not_encoded(embed, tmp_path):
    manifest = chaos_jobs.write_archive(f"file://{tmp_path}/archive", ITEMS)
    first = embed(manifest)
    assert min(first) > ITEMS / 2
    before = stored(embed.folder, manifest)
    assert embed(manifest) == (0, 0)
    for path in pictures(manifest):
        os.utime(path, (1, 1))
    done = units.done_units(embed.folder)
    assert embed(manifest) == (0, 0)
    assert units.done_units(embed.folder) != done
    after = stored(embed.folder, manifest)
    assert np.array_equal(before.image, after.image)
    assert np.array_equal(before.report, after.report)
    assert np.array_equal(before.has_image, after.has_image)


def test_changed_bytes_are_encoded(embed, tmp_path):
    manifest = chaos_jobs.write_archive(f"file://{tmp_path}/archive", ITEMS)
    embed(manifest)
    *_, one, two = pictures(manifest)
    Path(one).write_bytes(Path(two).read_bytes())
    assert embed(manifest) == (1, 0)


def test_what_a_gc_took_meanwhile_is_encoded_again(embed, tmp_path):
    manifest = chaos_jobs.write_archive(f"file://{tmp_path}/archive", ITEMS)
    first = embed(manifest)
    before = stored(embed.folder, manifest)
    for path in pictures(manifest):
        os.utime(path, (2, 2))
    taken = [unit_uri(embed.folder, name) for name in units.done_units(embed.folder)]
    assert embed(manifest, lambda: [files.delete(uri) for uri in taken]) == first
    for name in units.done_units(embed.folder):
        if unit_uri(embed.folder, name) in taken:
            files.delete(unit_marker(embed.folder, name))
    assert np.array_equal(before.image, stored(embed.folder, manifest).image)
