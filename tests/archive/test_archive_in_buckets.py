"""The same archive on servers of S3, Azure and Google: written, listed, read, and found to be broken where it is."""

import pytest

from mcmfh.archive.loading import item_fingerprint, item_fingerprints, load_item, load_items
from mcmfh.archive.manifest import check_manifest, read_manifest
from mcmfh.phantom import write_phantom
from mcmfh.store import files


@pytest.fixture(params=[pytest.param("s3", marks=pytest.mark.s3), "az", "gs"])
def bucket_root(request) -> str:
    return request.getfixturevalue(f"{request.param}_root")


def test_phantom_through_a_bucket(bucket_root, tmp_path):
    root = f"{bucket_root}/phantom"
    remote = read_manifest(write_phantom(root, studies=40, seed=5), ["modality"])
    local = read_manifest(write_phantom(str(tmp_path), studies=40, seed=5), ["modality"])
    assert remote.drop_columns(["image_uri", "report_uri"]).equals(local.drop_columns(["image_uri", "report_uri"]))
    skipped = {fault.row for fault in check_manifest(remote)}
    pairs = list(zip(load_items(remote.to_pylist()), load_items(local.to_pylist())))
    for here, there in pairs:
        assert (here.reason, here.image_sha256, here.report) == (there.reason, there.image_sha256, there.report)
    broken = files.read_json(f"{root}/broken.json")
    found = {row for row, (here, _) in enumerate(pairs) if here.reason} | skipped
    assert found == {one["row"] for one in broken}


def test_fingerprints_and_empty_objects_in_a_bucket(bucket_root):
    items = [{"image_uri": f"{bucket_root}/f/{n}.png"} for n in range(12)]
    for number in range(11):
        files.create(f"{bucket_root}/f/{number}.png", bytes([number]))
    before = item_fingerprints(items)
    assert before == [item_fingerprint(item) for item in items]
    files.create(f"{bucket_root}/f/11.png", b"")
    assert item_fingerprints(items)[:11] == before[:11]
    assert item_fingerprints(items)[11] != before[11]
    assert load_item(items[11]).reason == "file is empty"
    assert load_item({"image_uri": f"{bucket_root}/f/none.png"}).reason == "image file not found"
