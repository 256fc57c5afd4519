"""A node that joins while a job runs takes work."""

import os
import subprocess
import sys
import time

import pytest
from support import chaos_jobs
from support.head_node import REPOSITORY, further_node, head_node

WAIT_S = 30


@pytest.mark.cluster
@pytest.mark.parametrize("apart", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_late_node_takes_work(tmp_path, s3_root, apart):
    manifest = chaos_jobs.write_archive(f"{s3_root if apart else f'file://{tmp_path}'}/archive", 90)
    settings = [f"store=file://{tmp_path}/store", f"archive.manifest={manifest}", "cluster.address=auto"]
    settings += ["embed.unit_items=1", "archive.max_failure_rate=1"]
    with head_node(tmp_path, "--num-cpus=1", light_encoder=True, CHAOS_PACE="1", **s3()) as environment:
        job = subprocess.Popen([sys.executable, "jobs/embed.py", *settings], env=environment, cwd=REPOSITORY)
        try:
            until(lambda: chaos_jobs.encoded(tmp_path) > 2, 90)
            with further_node(tmp_path / "late", environment, CHAOS_PACE="1"):
                until(lambda: chaos_jobs.encoded(tmp_path / "late") > 0, WAIT_S + 10)  # ten to start
                assert job.poll() is None
        finally:
            job.kill()
            job.wait()


def s3() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("AWS_")}


def until(true, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)
