"""The processes of the servers under measurement: started, awaited and ended; Ray's are identified by their titles."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from mcmfh.errors import InputError
from mcmfh.processes import below, command_line

START_S = 240


def named(title: str) -> list[int]:
    """The ids of this process's descendants whose command line begins with `title`, in ascending order."""
    return sorted(pid for pid in below(os.getpid()) if command_line(pid).startswith(title))


@contextmanager
def server(module: str, *arguments: str, port: int) -> Iterator[int]:
    """Run `python -m module arguments` for the block; yields its process id once it answers on `port`."""
    process = subprocess.Popen([sys.executable, "-m", module, *arguments], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_S
        while not answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise InputError(f"{module} did not start")
            time.sleep(0.1)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def answers(port: int) -> bool:
    """Whether an HTTP server answers on `port`."""
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True
