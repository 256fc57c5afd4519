"""Metrics name the replica that answered: the process that made them, not the one that imported the module."""

import os
import subprocess
import sys

from mcmfh.serving.metrics import FAULTS, Metrics

FORK = """
import os, sys
sys.path.insert(0, {root!r})
from mcmfh.serving.metrics import Metrics
if child := os.fork():
    os.waitpid(child, 0)
else:
    print(os.getpid(), f'mcmfh_replica{{{{replica="{{os.getpid()}}"}}}} 1.0' in Metrics().text().decode(), flush=True)
"""


def test_the_replica_is_the_process_that_made_the_metrics():
    assert f'mcmfh_replica{{replica="{os.getpid()}"}} 1.0' in Metrics().text().decode()
    assert 'mcmfh_replica{replica="west"} 1.0' in Metrics("west").text().decode()


def test_a_forked_process_has_its_own_name():
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    command = [sys.executable, "-c", FORK.format(root=root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split()[1] == "True"


def test_the_first_fault_of_each_kind_is_seen_as_an_increase():
    metrics = Metrics("0")
    for event in FAULTS:
        assert f'mcmfh_faults_total{{event="{event}"}} 0.0' in metrics.text().decode()
    for event in (*FAULTS, "keys", "ready"):  # the others are no faults
        metrics.count_fault(event)
    text = metrics.text().decode()
    assert [line for line in text.splitlines() if line.startswith("mcmfh_faults_total")] == [
        f'mcmfh_faults_total{{event="{event}"}} 1.0' for event in FAULTS
    ]
