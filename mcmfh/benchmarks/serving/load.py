"""A load generator in a process of its own: each keep-alive connection sends a request when the last is answered.

python -m mcmfh.benchmarks.serving.load '{"port": 8000, "connections": 32, "seconds": 5, "path": "/v1/search",
    "bodies": ["…"], "key": null}'

It prints one JSON object. `cpu` is the share of a core that the generator used: near 1, the generator was the limit.
"""

import json
import select
import socket
import subprocess
import sys
import time
from itertools import cycle
from typing import Any

import numpy as np

from mcmfh.errors import InputError


def measure(port: int, bodies: list[str], connections: int, seconds: float, **more: Any) -> dict[str, float]:
    """The result of `generate`, run in a process of its own."""
    task = {"port": port, "bodies": bodies, "connections": connections, "seconds": seconds, **more}
    command = [sys.executable, "-m", "mcmfh.benchmarks.serving.load"]
    done = subprocess.run(command, input=json.dumps(task), capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"the load generator failed: {done.stderr.strip().splitlines()[-1]}")
    result: dict[str, float] = json.loads(done.stdout)
    return result


def generate(
    port: int,
    bodies: list[str],
    connections: int,
    seconds: float,
    path: str = "/v1/search",
    key: str | list[str] | None = None,
    warm_up: float = 0.5,
) -> dict[str, float]:
    """Requests a second, p50 and p99 in ms, failures (any status but 200, or none), the share of a core used here.

    key: what requests carry; of a list, one after the other.
    """
    keys = key if isinstance(key, list) else [key]
    requests = [_request(path, body, one) for body, one in zip(bodies, cycle(keys))]
    poll, links = select.epoll(), {}
    sent: dict[int, float] = {}
    received: dict[int, bytes] = {}

    def connect() -> int:
        link = socket.create_connection(("127.0.0.1", port))
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        handle = link.fileno()
        links[handle], received[handle] = link, b""
        poll.register(link, select.EPOLLIN)
        return handle

    for _ in range(connections):
        connect()
    latencies: list[float] = []
    failures, turn = 0, 0
    begin = time.perf_counter() + warm_up
    end, cpu = begin + seconds, 0.0
    for handle, link in links.items():
        sent[handle] = time.perf_counter()
        link.sendall(requests[(turn := turn + 1) % len(requests)])
    while (now := time.perf_counter()) < end:
        if not cpu and now >= begin:
            cpu, failures, latencies = time.process_time(), 0, []
        for handle, _ in poll.poll(end - now):
            got = links[handle].recv(1 << 18)
            received[handle] += got
            if got and not _whole(received[handle]):
                continue
            now = time.perf_counter()
            if got:
                latencies.append(now - sent[handle])
            failures += not (got and received[handle].startswith(b"HTTP/1.1 200"))
            if not got or b"connection: close" in received[handle].partition(b"\r\n\r\n")[0].lower():
                poll.unregister(handle)  # the proxy was started anew, with another list of replicas
                links.pop(handle).close()
                handle = connect()
            received[handle], sent[handle] = b"", now
            links[handle].sendall(requests[(turn := turn + 1) % len(requests)])
    spent = time.process_time() - cpu
    p50, p99 = np.quantile(latencies, [0.5, 0.99]) if latencies else (np.inf, np.inf)
    return {
        "rate": len(latencies) / seconds,
        "p50": 1000 * float(p50),
        "p99": 1000 * float(p99),
        "failures": failures,
        "cpu": spent / seconds,
    }


def _request(path: str, body: str, key: str | None) -> bytes:
    content = body.encode()
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
        *([f"Authorization: Bearer {key}"] if key else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + content


def _whole(answer: bytes) -> bool:
    """Whether the bytes received are a complete HTTP answer."""
    head, separator, body = answer.partition(b"\r\n\r\n")
    if not separator:
        return False
    lower = head.lower()
    if (at := lower.find(b"content-length:")) < 0:
        return body.endswith(b"0\r\n\r\n")  # chunked
    return len(body) >= int(lower[at + 15 :].split(b"\r\n", 1)[0])


if __name__ == "__main__":
    print(json.dumps(generate(**json.load(sys.stdin))))
