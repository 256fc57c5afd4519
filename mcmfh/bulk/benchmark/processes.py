"""CPU-seconds and private memory of a process and all that it started, read from /proc while they run (Linux)."""

import os
import subprocess
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

_TICK = os.sysconf("SC_CLK_TCK")
_ROLES = {"UnitEncoder": "encoder", "load_unit": "loader"}


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
    """Run a command, looking at its tree every `interval` seconds: (its stdout, what it used)."""
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
    spent: dict[int, float] = {}  # what has ended keeps the last that was seen of it
    roles = {root: "driver"}
    while not finished.wait(interval):
        for pid, seconds in _tree(root).items():
            spent[pid] = max(seconds, spent.get(pid, 0.0))
            role = roles.get(pid) or _role(pid)
            if role:
                roles[pid] = role
                usage.memory[role] = max(usage.memory[role], _private_mib(pid))
        usage.times.append(time.time())
        usage.seconds.append(sum(spent.values()))


def _tree(root: int) -> dict[int, float]:
    """CPU-seconds of `root` and its descendants."""
    parents, seconds = {}, {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (stat := _read(f"/proc/{name}/stat")):
            fields = stat.rpartition(")")[2].split()
            parents[int(name)] = int(fields[1])
            seconds[int(name)] = (int(fields[11]) + int(fields[12])) / _TICK
    found, edge = {root}, {root}
    while edge:
        edge = {pid for pid, parent in parents.items() if parent in edge} - found
        found |= edge
    return {pid: seconds[pid] for pid in found if pid in seconds}


def _role(pid: int) -> str | None:
    title = _read(f"/proc/{pid}/cmdline")
    return next((role for mark, role in _ROLES.items() if mark in title), None)


def _private_mib(pid: int) -> float:
    lines = _read(f"/proc/{pid}/status").splitlines()
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon")), 0.0)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:  # it has just ended
        return ""
