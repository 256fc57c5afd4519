"""The endpoint on several nodes, each with an address of its own: it outlives the job that deployed it."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from support.node_network import REPOSITORY, Network, Node, node_network

from mcmfh.client import search_endpoint
from mcmfh.errors import InputError
from mcmfh.serving.keys import new_key

pytestmark = [pytest.mark.slow, pytest.mark.ray]

SECRET, DIGEST = new_key()
QUERY = {"code": "0305", "modality": "image", "k": 5}


def mcmfh(network: Network, *words: str, checkout: Path = REPOSITORY) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "mcmfh.cli", *words]
    return subprocess.run(command, cwd=checkout, env=network.environment, capture_output=True, text=True, timeout=300)


def replicas(network: Network) -> list[Node]:
    """The nodes on which replicas run."""
    said = mcmfh(network, "serve", "status").stdout
    return [node for node in network.nodes if f"RUNNING on {node.address}\n" in said + "\n"]


def until(true, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.5)


def answers(node: Node) -> bool:
    try:
        return search_endpoint(f"http://{node.address}:8000", None, QUERY, SECRET)["snapshot"] == 1
    except InputError:
        return False


def test_the_endpoint_outlives_its_job_and_a_lost_node(archive, tmp_path):
    keys = tmp_path / "keys.yaml"
    keys.write_text(yaml.safe_dump([{"name": "ward", "sha256": DIGEST}]))
    store, _, name = archive.rpartition("/archives/")
    settings = [f"store={store}", f"archive.name={name}", f"serve.keys_uri={keys}", "serve.host=0.0.0.0"]
    # Ray keeps the code of a job that has ended for ten minutes; here for one.
    with node_network(tmp_path, RAY_RUNTIME_ENV_TEMPORARY_REFERENCE_EXPIRATION_S="60") as network:
        head = network.start(0)
        first, second = network.start(2), network.start(2)
        missing = mcmfh(network, "serve", "status")
        assert (missing.returncode, "mcmfh submit serve" in missing.stderr) == (2, True)

        done = mcmfh(network, "submit", "serve", *settings)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "snapshot 1" in done.stdout
        # The job alone set HAProxy's variables; the proxy of each node that has one takes them over.
        for node in (head, *replicas(network)):
            until(lambda node=node: answers(node))
            assert "haproxy" in node.processes().values()

        changed = tmp_path / "changed"
        for part in ("jobs", "mcmfh", "ray_config.yaml", "pyproject.toml"):
            subprocess.run(["cp", "-r", REPOSITORY / part, changed / part if changed.mkdir(exist_ok=True) else changed])
        (changed / "mcmfh" / "later.py").write_text("")
        done = mcmfh(network, "submit", "serve", *settings, checkout=changed)
        assert done.returncode == 0, done.stdout + done.stderr

        time.sleep(70)
        lost = replicas(network)[0]
        assert lost in (first, second)
        other = second if lost is first else first
        lost.kill()
        until(lambda: replicas(network) == [other] and answers(other) and answers(head))

        assert mcmfh(network, "serve", "delete").returncode == 0
        assert mcmfh(network, "serve", "status").returncode == 2
        assert not answers(head)
