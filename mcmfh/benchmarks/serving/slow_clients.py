"""Slow clients against the endpoint: what an honest client waits for while thousands send their requests by the byte.

The slow ones have no key. Each sends a byte of a header or of a body every second and connects again a second after it
was refused or ended. They come from one address, and from 200 (127.0.1.1 and on).

python -m mcmfh.benchmarks.serving.slow_clients '{"port": 8000, "connections": 2000, "addresses": 200}'

runs them until its standard input is closed, and prints how many connections were open on average.
"""

import contextlib
import json
import os
import resource
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from mcmfh.benchmarks.serving.archives import absolute_root, publish_synthetic, untrained_model
from mcmfh.benchmarks.serving.load import measure
from mcmfh.benchmarks.serving.suite import codes, configuration, served

SLICES = 100  # a second's bytes are spread over it, as independent clients would
OPENINGS = (
    b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ",
    b"POST /v1/search HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n",
)


def run_slow_clients(connections: int, seconds: float, rounds: int, say: Callable[[str], None]) -> str:
    """A table: an honest client's latencies without slow clients, and with `connections` from one or 200 addresses."""
    with tempfile.TemporaryDirectory(prefix="mcmfh-slow-") as folder:
        publish_synthetic(absolute_root(Path(folder)), untrained_model(f"{folder}/bundles"), 10**5)
        key, config = configuration(Path(folder))
        with served(config):
            results = compared(config.serve.port, key, connections, seconds, rounds, say)
    lines = [f"{'slow clients':30} {'open':>6} {'p50 ms':>8} {'p99 ms':>8} {'failures':>9}"]
    for name, ones in results.items():
        p50, p99, held = (median(one[column] for one in ones) for column in ("p50", "p99", "open"))
        lines.append(f"{name:30} {held:6.0f} {p50:8.2f} {p99:8.2f} {sum(one['failures'] for one in ones):9.0f}")
    return "\n".join(lines)


def compared(
    port: int, key: str | None, connections: int, seconds: float, rounds: int, say: Callable[[str], None]
) -> dict[str, list[dict[str, float]]]:
    """Kind of load → the measures of one honest client over `seconds`, one for each round. The kinds take turns."""
    kinds = {"none": 0, f"{connections} from 1 address": 1, f"{connections} from 200 addresses": 200}
    results: dict[str, list[dict[str, float]]] = {name: [] for name in kinds}
    for turn in range(rounds):
        for name, addresses in kinds.items():
            with slow_clients(port, connections if addresses else 0, max(1, addresses)) as told:
                one = measure(port, codes(), 1, seconds, key=key, warm_up=3)
            results[name].append({**one, "open": told["open"]})
            say(f"{turn + 1}: {name}: " + ", ".join(f"{k} {v:.3g}" for k, v in results[name][-1].items()))
    return results


@contextmanager
def slow_clients(port: int, connections: int, addresses: int) -> Iterator[dict[str, float]]:
    """Run the slow clients for the block, in a process of their own; afterwards the dictionary has what it printed."""
    task = {"port": port, "connections": connections, "addresses": addresses}
    command = [sys.executable, "-m", "mcmfh.benchmarks.serving.slow_clients", json.dumps(task)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    told: dict[str, float] = {}
    try:
        yield told
    finally:
        output, _ = process.communicate("")
        told.update(json.loads(output))


def attack(port: int, connections: int, addresses: int, stop: Any) -> dict[str, float]:
    """Send by the byte until `stop` (a file) can be read; how many connections were open on average."""
    os.nice(19)  # slow clients run on other machines
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    links: dict[int, socket.socket | None] = dict.fromkeys(range(connections))
    counts = []
    turn, began = 0, time.monotonic()
    while not select.select([stop], (), (), 0)[0]:
        for n in range(turn % SLICES, connections, SLICES):
            link = links[n]
            links[n] = dripped(link) if link else opened(port, f"127.0.1.{1 + n % addresses}", OPENINGS[n % 2])
        turn += 1
        if turn % SLICES == 0:
            counts.append(sum(link is not None for link in links.values()))
        time.sleep(max(0.0, began + turn / SLICES - time.monotonic()))
    return {"open": sum(counts) / max(1, len(counts))}


def opened(port: int, address: str, opening: bytes) -> socket.socket | None:
    link = socket.socket()
    try:
        link.settimeout(1)
        link.bind((address, 0))
        link.connect(("127.0.0.1", port))
        link.sendall(opening)
        link.setblocking(False)
    except OSError:
        link.close()
        return None
    return link


def dripped(link: socket.socket) -> socket.socket | None:
    """The connection after one more byte; None where it was ended or answered."""
    with contextlib.suppress(OSError):
        link.send(b"a")
        try:
            link.recv(4096)
        except BlockingIOError:
            return link
    link.close()
    return None


if __name__ == "__main__":
    print(json.dumps(attack(**json.loads(sys.argv[1]), stop=sys.stdin)))
