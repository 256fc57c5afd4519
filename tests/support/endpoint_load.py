"""Steady queries to an endpoint from several clients, and what these saw."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from support.endpoint_nodes import QUERY, SECRET

from mcmfh.client import search_endpoint
from mcmfh.errors import InputError


@dataclass
class Load:
    """What the clients of one proxy saw: when queries began and ended, when a try failed, what had no answer.

    Times are of time.monotonic(), in seconds. snapshots: of the answers, in order of their arrival.
    """

    queries: list[tuple[float, float]] = field(default_factory=list)
    failed_tries: list[tuple[float, str]] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    snapshots: list[int] = field(default_factory=list)

    def figures(self, event: float) -> dict[str, float]:
        """Counts, and durations before and after the moment `event`."""
        before, after = ([end - begin for begin, end in self.queries if (end >= event) == late] for late in (0, 1))
        return {
            "queries": len(self.queries),
            "lost": len(self.lost),
            "failed first tries": len(self.failed_tries),
            "last failed try after s": round(max((at - event for at, _ in self.failed_tries), default=0), 2),
            "p99 before ms": round(1000 * float(np.quantile(before, 0.99)), 1),
            "p99 after ms": round(1000 * float(np.quantile(after, 0.99)), 1),
            "longest ms": round(1000 * max(after), 1),
        }


@contextmanager
def load(*proxies: Sequence[str], clients: int = 4) -> Iterator[list[Load]]:
    """Ask in the block, from so many clients for each of `proxies`: addresses, of which the first is asked first."""
    seen, stop = [Load() for _ in proxies], threading.Event()
    threads = [
        threading.Thread(target=_ask, args=(addresses, one, stop))
        for addresses, one in zip(proxies, seen)
        for _ in range(clients)
    ]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _ask(addresses: Sequence[str], seen: Load, stop: threading.Event) -> None:
    def failed(error: Exception) -> None:
        seen.failed_tries.append((time.monotonic(), repr(error)))

    while not stop.is_set():
        begin = time.monotonic()
        try:
            answer = search_endpoint(addresses, None, QUERY, SECRET, failed)
            seen.snapshots.append(answer["snapshot"])
        except InputError as error:
            seen.lost.append(str(error))
            stop.wait(0.1)
        seen.queries.append((begin, time.monotonic()))
