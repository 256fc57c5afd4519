"""What a process frees it keeps, where it was told to: the same block again costs no fresh pages."""

import os
import subprocess
import sys

import pytest

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
