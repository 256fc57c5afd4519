"""What processes take: CPU seconds and anonymous memory, as Linux tells it under /proc. Who has ended takes nothing."""

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def below(pid: int) -> list[int]:
    """`pid` and all processes that descend from it."""
    parents = {int(name): int(fields[1]) for name in os.listdir("/proc") if name.isdigit() and (fields := _stat(name))}
    found, more = [], [pid]
    while more:
        found += more
        more = [child for child, parent in parents.items() if parent in more]
    return found


def cpu_seconds(pids: Sequence[int]) -> float:
    """User and system time of processes that live."""
    ticks = sum(int(fields[11]) + int(fields[12]) for pid in pids if (fields := _stat(pid)))
    return ticks / os.sysconf("SC_CLK_TCK")


def anonymous_mib(pid: int) -> float:
    """Memory of a process that is its own (RssAnon): without the object store and mapped files, which are shared."""
    return _status(pid, "RssAnon") / 1024


def resident_bytes(pid: int) -> int:
    """Memory that is resident now, shared included (VmRSS)."""
    return _status(pid, "VmRSS") * 1024


def peak_resident_bytes(pid: int) -> int:
    """The most memory that was ever resident, shared included (VmHWM)."""
    return _status(pid, "VmHWM") * 1024


def command_line(pid: int) -> str:
    """Its command, arguments parted by NUL; Ray's workers write what they do there."""
    return _read(pid, "cmdline")


def keep_freed_memory() -> None:
    """Let this process reuse what it frees instead of giving it back to the system.

    Feature maps take tens of MB. As fresh pages, to be zeroed at every layer, they cost an encoder on a CPU a third of
    its time. Blocks below 1 GiB are concerned, of the GNU C library; with another one nothing happens.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    for option in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD):
        mallopt(option, 2**30)


def _stat(pid: int | str) -> list[str]:
    """The fields of /proc/pid/stat from the state on, [] of one that has ended."""
    return _read(pid, "stat").rpartition(")")[2].split()


def _status(pid: int, name: str) -> int:
    """KiB of a line of /proc/pid/status."""
    lines = _read(pid, "status").splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)


def _read(pid: int | str, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except OSError:
        return ""
