"""Where no node can join, the workers of a training share the cores that are there."""

import os
import subprocess
import sys
from pathlib import Path

from support.planted import SPEC, planted_table, small

from mcmfh import ray_session
from mcmfh.config import ClusterConfig

TESTS = Path(__file__).parents[1]


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
