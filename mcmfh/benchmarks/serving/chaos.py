"""Steady load while snapshots are swapped, replicas and a node are killed; every answer is compared with the library's.

Two Ray nodes on this machine, two replicas. Clients ask as `mcmfh search` does, so each retries once; what failed
before a retry is counted too. An answer names its snapshot: it must be, to the byte, what the library answers from it.
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
from mcmfh.search.query import validated
from mcmfh.search.retrieval import Retrieval
from mcmfh.serving.access import proxy_environment

Say = Callable[[str], None]
REPLICA = "ray::ServeReplica:mcmfh:Endpoint"
PATIENCE_S = 180.0
NOTICED_S = 6.0


@dataclass
class Witness:
    """What clients saw. `turn` names what is being done to the endpoint."""

    turn: str = "steady"
    requests: int = 0
    dropped: dict[str, int] = field(default_factory=dict)  # turn → tries that failed
    failed: dict[str, int] = field(default_factory=dict)  # turn → requests that failed, their retry included
    answers: dict[tuple[int, int], str] = field(default_factory=dict)  # (snapshot, query) → answer
    contradicted: int = 0
    last: list[int] = field(default_factory=list)  # snapshots of the latest answers
    lock: threading.Lock = field(default_factory=threading.Lock)

    def saw(self, query: int, answer: dict[str, Any]) -> None:
        text = json.dumps(answer)
        with self.lock:
            self.requests += 1
            self.contradicted += self.answers.setdefault((answer["snapshot"], query), text) != text
            self.last = [*self.last[-39:], answer["snapshot"]]

    def missed(self, tally: dict[str, int]) -> None:
        with self.lock:
            tally[self.turn] = tally.get(self.turn, 0) + 1


def queries(count: int = 200) -> list[dict[str, Any]]:
    """Codes with every target, some filtered."""
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


def run_chaos(swaps: int, kills: int, node: bool, say: Say, items: int = 3000, clients: int = 16, **serve: Any) -> dict:
    """Do all that, one after the other; see `Witness` for what is counted. `serve`: further serve settings."""
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
            _until(lambda: witness.requests > 100)
            for number in range(2, swaps + 2):
                witness.turn = "swap"
                publish_synthetic(root, model, items, shard_rows=1000, seed=number)
                _until(lambda number=number: set(witness.last) == {number})  # type: ignore[misc]
                say(f"swap {number - 1}: {witness.requests} requests so far, dropped {witness.dropped}")
            for turn in range(kills):
                witness.turn = f"kill {turn + 1}"
                os.kill(named(REPLICA)[turn % 2], signal.SIGKILL)
                _until(lambda: len(named(REPLICA)) < 2)
                _settled()
                say(f"{witness.turn}: dropped {witness.dropped}, failed {witness.failed}")
            if node:
                witness.turn = "node"
                kill_node()
                _settled()
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
    """The endpoint on two Ray nodes of this machine; gives its URL and what kills the second node."""

    def __init__(self, config: Config):
        self.config = config

    def __enter__(self) -> tuple[str, Callable[[], None]]:
        os.environ.update(proxy_environment(self.config.serve.keys))
        ray_session.prepare(local=True)
        from ray.cluster_utils import Cluster

        memory: dict[str, Any] = {"object_store_memory": 200 * 2**20}
        self.nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 4, **memory})
        second = self.nodes.add_node(num_cpus=2, **memory)
        ray_session.connect(ClusterConfig(address=self.nodes.address))
        from mcmfh.serving.deployment import start

        return start(self.config), lambda: self.nodes.remove_node(second, allow_graceful=False)

    def __exit__(self, *error: object) -> None:
        from ray import serve

        serve.shutdown()
        ray_session.disconnect()
        self.nodes.shutdown()


def _ask(url: str, key: str, witness: Witness, stop: threading.Event, seed: int) -> None:
    rng, asked = np.random.default_rng(seed), queries()
    while not stop.is_set():
        query = int(rng.integers(len(asked)))
        try:
            witness.saw(
                query,
                search_endpoint(url, None, asked[query], key, lambda error: witness.missed(witness.dropped)),
            )
        except InputError:
            witness.missed(witness.failed)


def _until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not what():
        if time.monotonic() > deadline:
            raise InputError("the endpoint did not come back in time")
        time.sleep(0.05)


def _settled() -> None:
    """Return when two replicas serve again, as Serve knows once it has missed the dead one and started another."""
    from ray import serve

    def running() -> int:
        states = serve.status().applications["mcmfh"].deployments["Endpoint"].replica_states
        return sum(count for state, count in states.items() if state == "RUNNING")

    time.sleep(NOTICED_S)
    _until(lambda: len(named(REPLICA)) >= 2 and running() >= 2)
    time.sleep(NOTICED_S)  # until the proxy sends it requests


def _wrong(root: str, witness: Witness) -> int:
    """Answers that are not what the library gives from the snapshot they name."""
    asked, bundle, wrong = queries(), None, 0
    for number in sorted({number for number, _ in witness.answers}):
        retrieval = Retrieval(root, Limits(), number, bundle=bundle)
        bundle = retrieval.bundle
        for (of, query), answer in witness.answers.items():
            if of == number:
                wrong += json.loads(answer) != json.loads(json.dumps(retrieval.search(validated(asked[query]))))
    return wrong
