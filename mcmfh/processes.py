"""CPU seconds, memory, sockets and ports of processes, read from Linux's /proc. Exited processes count as zero."""

import contextlib
import ctypes
import errno
import ipaddress
import os
import random
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

_FREE_PORTS = range(20000, 30000)  # below are those of Ray's workers, above those of Serve's replicas
_given: set[int] = set()
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def below(pid: int) -> list[int]:
    """`pid` and all processes that descend from it."""
    parents = {int(name): int(fields[1]) for name in os.listdir("/proc") if name.isdigit() and (fields := _stat(name))}
    pids, generation = [], [pid]
    while generation:
        pids += generation
        generation = [child for child, parent in parents.items() if parent in generation]
    return pids


def cpu_seconds(pids: Sequence[int]) -> float:
    """The sum of the processes' user and system time."""
    ticks = sum(int(fields[11]) + int(fields[12]) for pid in pids if (fields := _stat(pid)))
    return ticks / os.sysconf("SC_CLK_TCK")


def anonymous_mib(pid: int) -> float:
    """The process's own memory (RssAnon): without the object store and mapped files, which are shared."""
    return _status(pid, "RssAnon") / 1024


def resident_bytes(pid: int) -> int:
    """The resident memory now, shared memory included (VmRSS)."""
    return _status(pid, "VmRSS") * 1024


def peak_resident_bytes(pid: int) -> int:
    """The greatest resident memory so far, shared memory included (VmHWM)."""
    return _status(pid, "VmHWM") * 1024


def command_line(pid: int) -> str:
    """The process's command line, its arguments separated by NUL. Ray's workers put the name of their task there."""
    return _read(pid, "cmdline")


def listening(port: int) -> set[str]:
    """The addresses of this machine on which a process listens on a TCP port, such as 127.0.0.1, 0.0.0.0 or ::."""
    return {address for address, listened, _ in listeners() if listened == port}


def listeners() -> list[tuple[str, int, int]]:
    """(address, port, inode of the socket) of every TCP socket of this machine that listens."""
    found = []
    for name in ("tcp", "tcp6"):
        for line in _read("net", name).splitlines()[1:]:
            fields = line.split()
            if fields[3] != "0A":
                continue
            words, _, port = fields[1].partition(":")
            # The address is printed as 32-bit words in the machine's order.
            data = b"".join(int(words[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(words), 8))
            address = ipaddress.ip_address(data)
            mapped = getattr(address, "ipv4_mapped", None)
            found.append((str(mapped or address), int(port, 16), int(fields[9])))
    return found


def sockets(pid: int) -> set[int]:
    """The inodes of the sockets that a process has open."""
    opened = set()
    for name in _names(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            target = os.readlink(f"/proc/{pid}/fd/{name}")
            if target.startswith("socket:["):
                opened.add(int(target[8:-1]))
    return opened


def free_port() -> int:
    """A TCP port that nobody holds on any address of this machine, and that this process was not given before.

    The system takes the ports of outgoing connections from a range of its own. Such a port, free now, may be a
    connection's by the time a server opens it, so that range is left out where it leaves any other.
    """
    low, high = (int(bound) for bound in _read("sys", "net/ipv4/ip_local_port_range").split() or (32768, 60999))
    outside = [port for port in _FREE_PORTS if not low <= port <= high] or [*_FREE_PORTS]
    for port in random.SystemRandom().sample(outside, len(outside)):  # whoever seeds `random` alike gets others
        with socket.socket() as trial, contextlib.suppress(OSError):
            trial.bind(("", port))
            if port not in _given:
                _given.add(port)
                return port
    raise OSError(errno.EADDRINUSE, f"every TCP port from {_FREE_PORTS[0]} to {_FREE_PORTS[-1]} is taken")


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def keep_freed_memory() -> None:
    """Let this process reuse the memory it frees, instead of returning it to the system.

    Feature maps take tens of MB. In fresh pages, which the system zeroes at every layer, they cost an encoder on a CPU
    a third of its time. The setting applies to blocks below 1 GiB and to the GNU C library; with another C library this
    function does nothing.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    for option in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD):
        mallopt(option, 2**30)


def _stat(pid: int | str) -> list[str]:
    """The fields of /proc/pid/stat from the state on; [] of an exited process."""
    return _read(pid, "stat").rpartition(")")[2].split()


def _status(pid: int, name: str) -> int:
    """The KiB in the line `name` of /proc/pid/status; 0 where it is missing."""
    lines = _read(pid, "status").splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)


def _read(pid: int | str, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except OSError:
        return ""
