"""CPU-seconds and private memory of a process and all its descendants, read from /proc while they run (Linux)."""

import subprocess
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from mcmfh.processes import anonymous_mib, below, command_line, cpu_seconds

_ROLES = {"UnitWorker": "worker", "UnitEncoder": "encoder", "load_unit": "loader"}


@dataclass
class Usage:
    """What a tree of processes used: CPU-seconds by time, greatest private memory (MiB) by role.

    Memory is anonymous memory: the object store, which the workers share, has a fixed size of its own.
    """

    times: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    memory: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def seconds_at(self, moment: float) -> float:
        """CPU-seconds used until `moment` (Unix time)."""
        return float(np.interp(moment, self.times, self.seconds))


def run_watched(command: list[str], environment: dict[str, str], interval: float = 0.25) -> tuple[str, Usage]:
    """Run a command and sample its processes every `interval` seconds: (its stdout, what they used)."""
    usage, finished = Usage(), threading.Event()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    watcher = threading.Thread(target=_watch, args=(process.pid, usage, finished, interval))
    watcher.start()
    try:
        output = process.communicate()[0]
    finally:
        finished.set()
        watcher.join()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command[:4])} ended with {process.returncode}")
    return output, usage


def _watch(root: int, usage: Usage, finished: threading.Event, interval: float) -> None:
    spent: dict[int, float] = {}  # an exited process keeps its last sample
    roles = {root: "driver"}
    while not finished.wait(interval):
        for pid in below(root):
            spent[pid] = max(cpu_seconds([pid]), spent.get(pid, 0.0))
            role = roles.get(pid) or _role(pid)
            if role:
                roles[pid] = role
                usage.memory[role] = max(usage.memory[role], anonymous_mib(pid))
        usage.times.append(time.time())
        usage.seconds.append(sum(spent.values()))


def _role(pid: int) -> str | None:
    title = command_line(pid)
    return next((role for mark, role in _ROLES.items() if mark in title), None)
