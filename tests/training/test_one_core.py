"""Where no node can join, the workers of a training share the cores that are there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.planted import SPEC, planted_table, small

from mcmfh import ray_session
from mcmfh.config import ClusterConfig
from mcmfh.training.runs import cores_of_worker

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize(("cores", "workers", "most", "asked"), [(1, 1, 1, 1), (1, 3, 1, 0.3266), (2, 2, 0.49, 0.49)])
def test_workers_ask_for_no_more_than_there_is(monkeypatch, cores, workers, most, asked):
    def nodes(*addresses):
        found = [{"Alive": True, "NodeManagerAddress": each, "Resources": {"CPU": cores}} for each in addresses]
        monkeypatch.setattr("ray.nodes", lambda: found)

    nodes("127.0.0.1")
    assert cores_of_worker(workers, most) == asked
    assert cores_of_worker(8, 0.49) * 8 <= cores
    for where in (("127.0.0.1", "127.0.0.1"), ("10.0.0.1",)):  # a node can join
        nodes(*where)
        assert cores_of_worker(workers, most) == most


def test_a_machine_of_one_core_trains(tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, __file__, str(tmp_path)],
        env=environment | {"PYTHONPATH": f"{TESTS}:{TESTS.parent}"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "trained" in done.stdout


if __name__ == "__main__":
    ray_session.connect(ClusterConfig(num_cpus=1, object_store_mb=100))
    from mcmfh.training.mcmfh import train

    train(planted_table(), small("paper", workers=3, epochs=1), SPEC, sys.argv[1], "run")
    print("trained")
