"""The endpoint on the nodes of support/node_network.py: deployed, asked, watched."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import yaml
from support.node_network import REPOSITORY, Network, Node

from mcmfh.client import search_endpoint
from mcmfh.errors import InputError
from mcmfh.serving.keys import new_key

SECRET, DIGEST = new_key()
QUERY = {"code": "0305", "modality": "image", "k": 5}


def deploy(network: Network, archive: str, folder: Path, *settings: str, checkout: Path = REPOSITORY) -> str:
    """Run `mcmfh submit serve` for the archive at a root, guarded by SECRET; returns what it printed."""
    keys = folder / "keys.yaml"
    keys.write_text(
        yaml.safe_dump([{"name": "ward", "sha256": DIGEST, "requests_per_second": 1_000_000}], explicit_end=True)
    )
    store, _, name = archive.rpartition("/archives/")
    words = [f"store={store}", f"archive.name={name}", f"serve.keys_uri={keys}", "serve.host=0.0.0.0", *settings]
    done = mcmfh(network, "submit", "serve", *words, checkout=checkout)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def mcmfh(
    network: Network, *words: str, checkout: Path = REPOSITORY, **variables: str
) -> "subprocess.CompletedProcess[str]":
    """Run `mcmfh WORDS` beside the nodes. variables: of its environment alone."""
    command, environment = [sys.executable, "-m", "mcmfh.cli", *words], network.environment | variables
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=600)


def replicas(network: Network) -> list[Node]:
    """The nodes on which replicas run."""
    lines = mcmfh(network, "serve", "status").stdout.splitlines()
    running = [line.rpartition(" ")[2] for line in lines if line.startswith("Endpoint ") and " RUNNING on " in line]
    return [node for node in network.nodes if node.address in running]


def until(true: Callable[[], bool], seconds: float = 180) -> None:
    """Return when `true` is; raises AssertionError where that takes longer."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)


def answers(node: Node) -> bool:
    """Whether the proxy of `node` answers."""
    try:
        return "hits" in search_endpoint(f"http://{node.address}:8000", None, QUERY, SECRET)
    except InputError:
        return False
