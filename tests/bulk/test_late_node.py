"""A node that joins while a job runs takes work."""

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack

import pytest
from support import chaos_jobs
from support.head_node import REPOSITORY, further_node, head_node

PACE_S = 2  # that every item takes an encoder at least
SOON = 20  # items of each other node: 40 s at their pace, and more where the machine is busy with other work


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("apart", "nodes"), [pytest.param(False, 1, marks=pytest.mark.slow), pytest.param(True, 1), (True, 3)]
)
def test_a_late_node_takes_work(tmp_path, s3_root, apart, nodes):
    """Before each of the others has encoded SOON more items. The seconds, which depend on the machine, are printed.

    apart: the store is not on this machine, so that loaders run beside the encoders.
    """
    manifest = chaos_jobs.write_archive(f"{s3_root if apart else f'file://{tmp_path}'}/archive", 90 * nodes)
    settings = [f"store=file://{tmp_path}/store", f"archive.manifest={manifest}", "cluster.address=auto"]
    settings += ["embed.unit_items=1", "archive.max_failure_rate=1"]
    with ExitStack() as stack:
        head = head_node(tmp_path, "--num-cpus=1", light_encoder=True, CHAOS_PACE=str(PACE_S), **s3())
        environment = stack.enter_context(head)
        for number in range(1, nodes):
            folder = tmp_path / str(number)
            stack.enter_context(further_node(folder, environment, CHAOS_PACE=str(PACE_S)))
            until(lambda log=folder / "node_log": "Ray runtime started" in log.read_text(), 60)

        def done() -> int:
            """Items that the nodes of the beginning have encoded."""
            return sum(map(chaos_jobs.encoded, (tmp_path, *(tmp_path / str(number) for number in range(1, nodes)))))

        job = subprocess.Popen([sys.executable, "jobs/embed.py", *settings], env=environment, cwd=REPOSITORY)
        try:
            until(lambda: chaos_jobs.encoded(tmp_path) > 2, 90)
            with further_node(tmp_path / "late", environment, CHAOS_PACE=str(PACE_S)):
                joined, before = time.monotonic(), done()
                until(lambda: chaos_jobs.encoded(tmp_path / "late") > 0 or done() - before > SOON * nodes, 500)
                assert chaos_jobs.encoded(tmp_path / "late") > 0, "the others went on without it"
                assert job.poll() is None
                print(json.dumps({"a late node takes work after s": round(time.monotonic() - joined, 1)}))
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
