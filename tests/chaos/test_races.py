"""Two jobs at once on one archive, each with items of its own: the later snapshot holds both's."""

import time

import pytest
from support import chaos_jobs
from support.s3_server import new_prefix

from mcmfh.store import files

pytestmark = [pytest.mark.slow, pytest.mark.ray]


@pytest.mark.parametrize("kind", ["file", pytest.param("s3", marks=pytest.mark.s3)])
def test_two_jobs_race(kind, tmp_path, request):
    base = f"file://{tmp_path}" if kind == "file" else new_prefix(request.getfixturevalue("s3_endpoint"))
    store, bundle = files.join(base, "store"), chaos_jobs.save_model(f"file://{tmp_path}/bundles")
    manifest = chaos_jobs.write_archive(files.join(base, "archive"), 120)
    chaos_jobs.run("hash_archive", store, manifest, bundle, tmp_path / "first")
    before, rows = chaos_jobs.codes(store), chaos_jobs.read_rows(manifest)
    racers = []
    for name in ("a", "b"):
        new = [
            {**row, "item_id": f"{name}-{row['item_id']}", "report": f"{name} {row['report']}"} for row in rows[20:60]
        ]
        longer = chaos_jobs.write_manifest(files.parent(manifest), [*new, *rows], name)
        folder = tmp_path / name
        gate = "snapshots/000002.json"  # both have done all else when the first may publish
        racers.append((folder, chaos_jobs.start("hash_archive", store, longer, bundle, folder, gate=gate)))
    while not all((folder / "waiting").exists() for folder, _ in racers):
        assert all(process.poll() is None for _, process in racers)
        time.sleep(0.05)
    for folder, _ in racers:
        (folder / "open").touch()
    for folder, process in racers:
        assert process.wait(400) == 0, (folder / "output").read_text()[-4000:]
    after = chaos_jobs.codes(store)
    names = {f"{name}-{row['item_id']}" for name in ("a", "b") for row in rows[20:60]}
    assert after.keys() == before.keys() | names
    assert all(after[name] == codes for name, codes in before.items())
    # A picture has its code under whatever name it is hashed.
    for name in names:
        image = [codes[:2] for codes in (after[name], before[name[2:]])]
        assert image[0] == image[1]
    assert chaos_jobs.published(store).parent == 2
    assert chaos_jobs.encoded(racers[0][0]) + chaos_jobs.encoded(racers[1][0]) == 80
