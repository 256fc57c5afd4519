"""What a job waits for is said with what is asked for and what is there."""

import subprocess
import sys

import pytest
from support import chaos_jobs
from support.head_node import REPOSITORY, further_node, head_node

from mcmfh.bulk.waiting import unmet

FULL = ({"CPU": 4.0, "memory": 8 * 2.0**30}, {"memory": 2.0**30})


def test_what_fits_on_no_node_is_named_with_the_nodes():
    said = unmet([({"CPU": 1, "GPU": 1}, 3), ({"CPU": 1}, 9)], [FULL, FULL], stalled=False)
    assert said == (
        "waits for resources: asked for 3 × (1 CPU, 1 GPU); nodes that are up: 2 × (0 of 4 CPU free, "
        "1 of 8 GiB memory free)"
    )
    assert "asked for 2 × (16 GiB memory)" in str(unmet([({"memory": 2**34}, 2)], [FULL], stalled=False))
    assert "nodes that are up: 1 × (0 of 0 CPU free)" in str(unmet([({"CPU": 1}, 1)], [({}, {})], stalled=False))
    assert "nodes that are up: none" in str(unmet([({"CPU": 1}, 1)], [], stalled=False))


def test_a_queue_on_busy_nodes_is_named_only_when_nothing_moves():
    assert unmet([({"CPU": 1}, 9)], [FULL], stalled=False) is None
    assert "9 × (1 CPU)" in str(unmet([({"CPU": 1}, 9)], [FULL], stalled=True))
    assert unmet([], [FULL], stalled=True) is None


def test_a_request_to_spare_is_no_wait_on_a_busy_node():
    assert unmet([({"CPU": 1}, 1)], [FULL], stalled=True, spare=1) is None
    assert "asked for 2 × (1 CPU)" in str(unmet([({"CPU": 1}, 2)], [FULL], stalled=True, spare=1))
    assert "2 × (1 CPU, 1 GPU)" in str(unmet([({"CPU": 1, "GPU": 1}, 2)], [FULL], stalled=False, spare=2))


@pytest.mark.cluster
def test_a_cluster_without_workers_is_named_and_its_first_worker_ends_the_wait(tmp_path):
    manifest = chaos_jobs.write_archive(f"file://{tmp_path}/archive", 20)
    settings = [f"store=file://{tmp_path}/store", f"archive.manifest={manifest}", "cluster.address=auto"]
    settings += ["archive.max_failure_rate=1"]
    with head_node(tmp_path, "--num-cpus=0", light_encoder=True) as environment:
        command = [sys.executable, "jobs/embed.py", *settings]
        job = subprocess.Popen(
            command, env=environment, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert job.stdout is not None
        assert job.stderr is not None
        lines = []
        while "waits for resources" not in (line := job.stderr.readline()):
            assert line, "the job ended"
            lines.append(line)
        assert sum(line.startswith("embed: ") for line in lines) <= 1  # these come every thirty seconds
        assert "asked for 1 × (1 CPU); nodes that are up: 1 × (0 of 0 CPU free" in line
        with further_node(tmp_path / "worker", environment, "--num-cpus=1"):
            said, _ = job.communicate(timeout=240)
    assert job.returncode == 0
    assert "embedded 17" in said
