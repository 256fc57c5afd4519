"""The endpoint against what a user would write instead, measured in turns in one run, on the same temporary archive.

All servers run all the time; only one is under load at a time. CPU time per request sums all processes of a server (for
the endpoint: Ray's, the proxy's and the replica's). On few cores it says more than requests per second.
"""

import json
import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from mcmfh import ray_session
from mcmfh.benchmarks.serving.archives import absolute_root, peer_files, publish_synthetic, untrained_model
from mcmfh.benchmarks.serving.load import measure
from mcmfh.benchmarks.serving.opening import measure_opening
from mcmfh.benchmarks.serving.processes import server
from mcmfh.config import Config
from mcmfh.processes import below, cpu_seconds, free_port
from mcmfh.serving.keys import new_key
from mcmfh.snapshots.document import read_snapshot

Say = Callable[[str], None]
CONCURRENCY = 32
SENTENCES = ("No acute findings.", "Small left effusion.", "Nodule in the right upper lobe.", "Heart size is normal.")


def run_serving(items: int, rounds: int, seconds: float, say: Say, reports: bool = True) -> dict[str, Any]:
    """{"servers": server → load → medians over `rounds` of `seconds` each, "opening": the cost of opening the archive};
    `report.table` renders it."""
    with tempfile.TemporaryDirectory(prefix="mcmfh-benchmark-") as temporary, ExitStack() as stack:
        folder = Path(temporary)
        os.environ["MCMFH_CACHE"] = str(folder / "cache")
        say(f"{items:,} items: making the archive")
        root = absolute_root(folder)
        model = untrained_model(f"{folder}/bundles")
        publish_synthetic(root, model, items)
        peer_files(root, read_snapshot(root, 1), folder)
        small = absolute_root(folder / "small")
        publish_synthetic(small, model, 3000)
        opening = measure_opening(root, small)
        key, config = configuration(folder)
        say("starting the servers")
        servers: dict[str, tuple[int, Callable[[], list[int]], str | None]] = {}
        for name in ("flat", "padded"):
            port = free_port()
            arguments = (str(folder), str(port), model.bundle, name)
            pid = stack.enter_context(server("mcmfh.benchmarks.serving.peer", *arguments, port=port))
            servers[f"faiss, {name}"] = (port, lambda pid=pid: below(pid), None)  # type: ignore[misc]
        port = free_port()
        bare = stack.enter_context(
            server("mcmfh.benchmarks.serving.bare", str(port), config.model_dump_json(), port=port)
        )
        servers["bare uvicorn"] = (port, lambda: below(bare), key)
        peers = set(below(os.getpid())) - {os.getpid()}
        stack.enter_context(served(config))
        servers["endpoint"] = (config.serve.port, lambda: sorted(set(below(os.getpid())) - peers), key)
        loads = {"code": (codes(), CONCURRENCY), **({} if not reports else report_loads())}
        runs: dict[str, dict[str, list[dict[str, float]]]] = {name: {load: [] for load in loads} for name in servers}
        for turn in range(rounds):
            for load, (bodies, connections) in loads.items():
                for name, (port, pids, secret) in servers.items():
                    before = cpu_seconds(pids())
                    one = measure(port, bodies, connections, seconds, key=secret, warm_up=0.5)
                    one["cpu_ms"] = 1000 * (cpu_seconds(pids()) - before) / max(1, one["rate"] * (seconds + 0.5))
                    runs[name][load].append(one)
                    say(f"{turn + 1}: {name}, {load}: " + ", ".join(f"{k} {v:.3g}" for k, v in one.items()))
        medians = {
            name: {load: {k: median(one[k] for one in ones) for k in ones[0]} for load, ones in by_load.items()}
            for name, by_load in runs.items()
        }
        return {"servers": medians, "opening": opening}


def configuration(folder: Path, **serve: Any) -> tuple[str, Config]:
    """(an access key, the configuration of an endpoint that serves the archive in `folder` and accepts the key)."""
    key, digest = new_key()
    keys = [{"name": "load", "sha256": digest, "requests_per_second": 1e9}]
    serving = {"port": free_port(), "keys": keys, **serve}
    values = {"store": str(folder), "archive": {"name": "synthetic"}, "serve": serving}
    return key, Config.model_validate(values)


class served:
    """The endpoint on a Ray of its own, with the fast proxy where keys are configured."""

    def __init__(self, config: Config):
        self.config = config

    def __enter__(self) -> str:
        ray_session.connect(self.config.cluster, fast_proxy=bool(self.config.serve.keys))
        from mcmfh.serving.deployment import start

        return start(self.config)

    def __exit__(self, *error: object) -> None:
        from mcmfh.serving.deployment import stop

        stop()
        ray_session.disconnect()


def codes() -> list[str]:
    """The bodies of 1,000 queries that are codes."""
    rng = np.random.default_rng(0)
    return [json.dumps({"code": rng.bytes(2).hex(), "modality": "image"}) for _ in range(1000)]


def report_loads() -> dict[str, tuple[list[str], int]]:
    """load → (bodies, connections): 200 reports of one to four sentences, 32 at once and one after the other."""
    rng = np.random.default_rng(1)
    texts = [" ".join(rng.choice(SENTENCES, rng.integers(1, 5))) + f" No. {n}" for n in range(200)]
    bodies = [json.dumps({"report": text, "target": "report"}) for text in texts]
    return {"report": (bodies, CONCURRENCY), "report alone": (bodies, 1)}
