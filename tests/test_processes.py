"""What a process frees it keeps, where it was told to; a free port is no port that connections take."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mcmfh import processes
from mcmfh.processes import free_port

PROGRAM = """
import sys
import numpy as np
from resource import RUSAGE_SELF, getrusage
from mcmfh.processes import keep_freed_memory

if "keep" in sys.argv:
    keep_freed_memory()
faults = []
for _ in range(5):
    before = getrusage(RUSAGE_SELF).ru_minflt
    np.ones(64 * 2**20, np.uint8)
    faults.append(getrusage(RUSAGE_SELF).ru_minflt - before)
print(faults[0], faults[-1])
"""


def faults(*arguments: str) -> tuple[int, int]:
    """Fresh pages of the first and of the fifth of equal blocks."""
    command = [sys.executable, "-c", PROGRAM, *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    first, last = done.stdout.split()
    return int(first), int(last)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of the GNU C library")
def test_freed_memory_is_used_again():
    first, last = faults("keep")
    assert first > 20
    assert last < first / 4
    assert faults()[1] > 20, "left to itself the library gives it back"


def test_a_free_port_is_none_that_a_connection_may_take_before_a_server_does():
    low, high = (int(bound) for bound in Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    given = [free_port() for _ in range(200)]
    assert len(set(given)) == len(given)
    assert not [port for port in given if low <= port <= high]


@pytest.mark.parametrize("held", ["127.0.0.1", "127.0.0.9", "0.0.0.0", "::"])
def test_a_held_port_is_not_free_whatever_its_address(held, monkeypatch):
    first, second = free_port(), free_port()
    monkeypatch.setattr(processes, "_FREE_PORTS", (first, second))
    monkeypatch.setattr(processes, "_given", set())
    with socket.socket(socket.AF_INET6 if ":" in held else socket.AF_INET) as holder:
        holder.bind((held, first))
        assert free_port() == second
        with pytest.raises(OSError, match=f"every TCP port from {first} to {second}"):
            free_port()
