"""A serving replica's node is killed under load, on three nodes: what is lost, what clients see, and for how long.

Queries come through the proxy of a node that survives and through that of the killed one, whose clients know another
address to ask. `python -m pytest -m slow tests/cluster/test_serve_node_kill.py -s` prints the figures.
"""

import json
import time
from collections.abc import Callable

import pytest
from support.endpoint_load import load
from support.endpoint_nodes import answers, deploy, replicas, until
from support.node_network import Node, node_network

pytestmark = [pytest.mark.slow, pytest.mark.ray]


@pytest.mark.parametrize("kill", [Node.crash, Node.kill], ids=["processes", "machine"])
def test_no_query_is_lost(archive, tmp_path, kill: Callable[[Node], None]):
    with node_network(tmp_path) as network:
        head = network.start(2)
        for _ in range(2):
            network.start(2)
        deploy(network, archive, tmp_path, "serve.replicas=2", "serve.max_replicas_per_node=1")
        until(lambda: len(replicas(network)) == 2)
        lost = next(node for node in replicas(network) if node is not head)
        survivor = next(node for node in (*replicas(network), head) if node is not lost)
        until(lambda: answers(lost) and answers(survivor))
        killed, surviving = (f"http://{node.address}:8000" for node in (lost, survivor))
        with load([surviving], [killed, surviving]) as seen:
            time.sleep(10)
            event = time.monotonic()
            kill(lost)
            until(lambda: len(replicas(network)) == 2 and lost not in replicas(network))
            recovered = round(time.monotonic() - event, 1)
            time.sleep(10)
    for proxy, one in zip(("survivor", "killed"), seen):
        print(json.dumps({"proxy": proxy, "two replicas again after s": recovered, **one.figures(event)}))
        print(one.failed_tries[:5])
        assert not one.lost, one.lost[:3]
        assert any(begin > event for begin, _ in one.queries)
