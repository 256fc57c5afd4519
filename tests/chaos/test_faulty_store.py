"""An S3 that fails: every operation goes through in the end, and a whole job gives the codes it always gives."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import chaos_jobs
from support.faulty_proxy import FAULTS, faulty_proxy
from support.s3_server import environment, new_prefix

from mcmfh.store import files, filesystems


def test_every_operation_survives_faults(s3_endpoint, monkeypatch):
    root = new_prefix(s3_endpoint)
    with faulty_proxy(s3_endpoint, 0.2, [fault for fault in FAULTS if fault != "silence"]) as (url, done):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        filesystems._filesystem.cache_clear()
        try:
            files.probe(root)

            def life(number: int) -> None:
                uri, data = f"{root}/o/{number}", os.urandom(1000 + number)
                files.create(uri, data)  # False where the answer to the write that succeeded was lost
                assert not files.create(uri, b"other")
                assert files.read(uri) == data
                assert files.read(uri, 10, 20) == data[10:20]
                assert files.size(uri) == len(data)
                with files.open_file(uri) as file:
                    file.seek(500)
                    assert file.read(100) == data[500:600]

            with ThreadPoolExecutor(8) as pool:
                list(pool.map(life, range(16)))
            assert len(files.names(f"{root}/o")) == len(list(files.walk(f"{root}/o"))) == 16
            files.delete_tree(root)
            assert files.names(f"{root}/o") == []
            assert sum(count for fault, count in done.items() if fault) > 10
        finally:
            filesystems._filesystem.cache_clear()


@pytest.mark.slow
@pytest.mark.ray
def test_a_job_on_a_store_that_fails(s3_endpoint, tmp_path, monkeypatch):
    bundle = chaos_jobs.save_model(f"file://{tmp_path}/bundles")
    manifest = chaos_jobs.write_archive(new_prefix(s3_endpoint), 300)
    stores = [new_prefix(s3_endpoint) for _ in range(2)]
    chaos_jobs.run("hash_archive", stores[0], manifest, bundle, tmp_path / "sound")
    with faulty_proxy(s3_endpoint, 0.05) as (url, done):
        for name, value in environment(url).items():
            monkeypatch.setenv(name, value)
        chaos_jobs.run("hash_archive", stores[1], manifest, bundle, tmp_path / "faulty")
        print(f"{done.total()} requests: {dict(done)}")
        assert all(done[fault] for fault in FAULTS)
    assert chaos_jobs.published(stores[1]).shards == chaos_jobs.published(stores[0]).shards
    assert chaos_jobs.codes(stores[1]) == chaos_jobs.codes(stores[0])
