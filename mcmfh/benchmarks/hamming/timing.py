"""Comparable times: the contestants take turns, so that a machine that slows down slows all of them.

The work of one thread is measured in processor time, which other programs do not lengthen; that of several threads in
wall-clock time.
"""

import time
from collections.abc import Callable

import numpy as np

Search = Callable[..., tuple[np.ndarray, np.ndarray]]


def single_query_times(
    searches: dict[str, Search], queries: np.ndarray, k: int, rounds: int = 7, budget: float = 0.3
) -> dict[str, float]:
    """Median seconds of one query, by contestant.

    In every round each contestant in turn answers single queries: as many as fit its share of `budget` seconds, at most
    all. Where a query is too short for the clock, several are timed together.
    """
    single = [queries[i : i + 1] for i in range(len(queries))]
    plans: dict[str, tuple[int, int]] = {}
    times: dict[str, list[float]] = {name: [] for name in searches}
    for name, search in searches.items():
        search(single[0], k)
        begun = time.process_time()
        search(single[1], k)
        estimate = max(time.process_time() - begun, 2e-6)
        count = int(np.clip(budget / rounds / estimate, 1, len(single)))
        run = max(1, min(count // 5, int(5e-4 / estimate)))
        plans[name] = (count, run)
    for round_number in range(rounds):
        for name, search in searches.items():
            count, run = plans[name]
            if sum(times[name]) * run > 3 * budget:  # too slow for more: its median is of the rounds so far
                continue
            first = round_number * count % len(single)
            chosen = [single[(first + i) % len(single)] for i in range(count)]
            for at in range(0, count - run + 1, run):
                group = chosen[at : at + run]
                begun = time.process_time()
                for query in group:
                    search(query, k)
                times[name].append((time.process_time() - begun) / run)
    return {name: float(np.median(taken)) for name, taken in times.items()}


def batch_times(
    searches: dict[str, tuple[Search, np.ndarray]], clock: Callable[[], float], rounds: int = 3
) -> dict[str, float]:
    """Median seconds a query, by `clock`, when each contestant is given its queries at once; contestants take turns."""
    times: dict[str, list[float]] = {name: [] for name in searches}
    for search, queries in searches.values():
        search(queries[:2])
    for _ in range(rounds):
        for name, (search, queries) in searches.items():
            begun = clock()
            search(queries)
            times[name].append((clock() - begun) / len(queries))
    return {name: float(np.median(taken)) for name, taken in times.items()}
