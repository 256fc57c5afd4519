"""Steady load while snapshots are swapped and replicas and a node are killed; the library checks every answer.

Two Ray nodes on this machine serve with two replicas. Clients retry a lost request once, as `mcmfh search` does; a
request that was lost and retried is counted too. An answer names its snapshot and must equal the library's answer from
it.
"""

import json
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mcmfh import ray_session
from mcmfh.archive.images import Limits
from mcmfh.benchmarks.serving.archives import absolute_root, publish_synthetic, untrained_model
from mcmfh.benchmarks.serving.processes import named
from mcmfh.benchmarks.serving.suite import configuration
from mcmfh.client import search_endpoint
from mcmfh.config import ClusterConfig, Config
from mcmfh.errors import InputError
from mcmfh.hashing.bundle import Bundle
from mcmfh.search.query import validated
from mcmfh.search.retrieval import Retrieval

Say = Callable[[str], None]
REPLICA = "ray::ServeReplica:mcmfh:Endpoint"
PATIENCE_S = 180.0
NOTICED_S = 6.0


@dataclass
class Witness:
    """What clients observed. `turn` names what is being done to the endpoint at the moment."""

    turn: str = "steady"
    requests: int = 0
    dropped: dict[str, int] = field(default_factory=dict)  # turn → tries that failed
    failed: dict[str, int] = field(default_factory=dict)  # turn → requests that failed, their retry included
    answers: dict[tuple[int, int], str] = field(default_factory=dict)  # (snapshot, query) → answer
    contradicted: int = 0
    last: list[int] = field(default_factory=list)  # snapshots of the latest answers
    lock: threading.Lock = field(default_factory=threading.Lock)

    def record_answer(self, query: int, answer: dict[str, Any]) -> None:
        text = json.dumps(answer)
        with self.lock:
            self.requests += 1
            self.contradicted += self.answers.setdefault((answer["snapshot"], query), text) != text
            self.last = [*self.last[-39:], answer["snapshot"]]

    def count(self, tally: dict[str, int]) -> None:
        """Add one to the current turn's entry of `dropped` or `failed`."""
        with self.lock:
            tally[self.turn] = tally.get(self.turn, 0) + 1


def queries(count: int = 200) -> list[dict[str, Any]]:
    """Queries that are codes, with every target, some of them with filters."""
    rng = np.random.default_rng(5)
    wheres: list[dict[str, Any]] = [{}, {"modality": "CT"}, {"year": {"min": 2005, "max": 2015}}]
    return [
        {
            "code": rng.bytes(2).hex(),
            "modality": "image",
            "k": int(rng.integers(1, 20)),
            "target": ("report", "image", "study")[n % 3],
            "where": wheres[n % 7 % 3],
        }
        for n in range(count)
    ]


def run_chaos(
    swaps: int, kills: int, node: bool, say: Say, items: int = 3000, clients: int = 16, **serve: Any
) -> dict[str, Any]:
    """The counts of `Witness` after `swaps` snapshot swaps, `kills` replica kills and, with `node`, a node kill.

    serve: further serve settings.
    """
    with tempfile.TemporaryDirectory(prefix="mcmfh-chaos-") as temporary:
        folder = Path(temporary)
        os.environ["MCMFH_CACHE"] = str(folder / "cache")
        root = absolute_root(folder)
        model = untrained_model(f"{folder}/bundles")
        publish_synthetic(root, model, items, shard_rows=1000)
        key, config = configuration(folder, replicas=2, poll_seconds=0.5, **serve)
        witness, stop = Witness(), threading.Event()
        with two_nodes(config) as (url, kill_node):
            asking = [
                threading.Thread(target=_ask, args=(url, key, witness, stop, seed), daemon=True)
                for seed in range(clients)
            ]
            for thread in asking:
                thread.start()
            _wait_until(lambda: witness.requests > 100)
            for number in range(2, swaps + 2):
                witness.turn = "swap"
                publish_synthetic(root, model, items, shard_rows=1000, seed=number)
                _wait_until(lambda number=number: set(witness.last) == {number})  # type: ignore[misc]
                say(f"swap {number - 1}: {witness.requests} requests so far, dropped {witness.dropped}")
            for turn in range(kills):
                witness.turn = f"kill {turn + 1}"
                os.kill(named(REPLICA)[turn % 2], signal.SIGKILL)
                _wait_until(lambda: len(named(REPLICA)) < 2)
                _wait_for_replicas()
                say(f"{witness.turn}: dropped {witness.dropped}, failed {witness.failed}")
            if node:
                witness.turn = "node"
                kill_node()
                _wait_for_replicas()
                say(f"node: dropped {witness.dropped}, failed {witness.failed}")
            stop.set()
            for thread in asking:
                thread.join()
        wrong = _wrong(root, witness)
        return {
            "requests": witness.requests,
            "dropped": witness.dropped,
            "failed after one retry": witness.failed,
            "wrong": wrong,
            "contradicted": witness.contradicted,
            "distinct answers compared": len(witness.answers),
        }


class two_nodes:
    """The endpoint on two Ray nodes of this machine; yields its URL and a function that kills the second node."""

    def __init__(self, config: Config):
        self.config = config

    def __enter__(self) -> tuple[str, Callable[[], None]]:
        ray_session.prepare(local=True, fast_proxy=bool(self.config.serve.keys))
        from ray.cluster_utils import Cluster

        memory: dict[str, Any] = {"object_store_memory": 200 * 2**20}
        self.nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 4, **memory})
        second = self.nodes.add_node(num_cpus=2, **memory)
        ray_session.connect(ClusterConfig(address=self.nodes.address))
        from mcmfh.serving.deployment import start

        return start(self.config), lambda: self.nodes.remove_node(second, allow_graceful=False)

    def __exit__(self, *error: object) -> None:
        from ray import serve

        serve.shutdown()  # type: ignore[no-untyped-call]
        ray_session.disconnect()
        self.nodes.shutdown()  # type: ignore[no-untyped-call]


def _ask(url: str, key: str, witness: Witness, stop: threading.Event, seed: int) -> None:
    rng, bodies = np.random.default_rng(seed), queries()
    while not stop.is_set():
        query = int(rng.integers(len(bodies)))
        try:
            answer = search_endpoint(url, None, bodies[query], key, lambda error: witness.count(witness.dropped))
            witness.record_answer(query, answer)
        except InputError:
            witness.count(witness.failed)


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise InputError("the endpoint did not come back in time")
        time.sleep(0.05)


def _wait_for_replicas() -> None:
    """Return when two replicas serve again. Serve needs some seconds to notice a dead replica and to replace it."""
    from ray import serve

    def running() -> int:
        states = serve.status().applications["mcmfh"].deployments["Endpoint"].replica_states
        return sum(count for state, count in states.items() if state == "RUNNING")

    time.sleep(NOTICED_S)
    _wait_until(lambda: len(named(REPLICA)) >= 2 and running() >= 2)
    time.sleep(NOTICED_S)  # until the proxy sends requests to the new replica


def _wrong(root: str, witness: Witness) -> int:
    """The number of answers that differ from the library's answer from the snapshot they name."""
    bodies, wrong = queries(), 0
    bundles: list[Bundle] = []
    for number in sorted({number for number, _ in witness.answers}):
        retrieval = Retrieval(root, Limits(), number, bundles=bundles)
        bundles = [retrieval.bundle]
        for (of, query), answer in witness.answers.items():
            if of == number:
                wrong += json.loads(answer) != json.loads(json.dumps(retrieval.answer(validated(bodies[query]))))
    return wrong
