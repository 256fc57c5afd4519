"""The endpoint on several nodes, each with an address of its own: it outlives the job that deployed it."""

import shutil
import time

import pytest
from support.endpoint_load import load
from support.endpoint_nodes import answers, deploy, mcmfh, replicas, until
from support.node_network import REPOSITORY, node_network
from support.snapshot_rows import publish_rows, rows

pytestmark = [pytest.mark.slow, pytest.mark.ray]


def test_the_endpoint_outlives_its_job_and_a_lost_node(archive, tmp_path):
    # Ray keeps the code of a job that has ended for ten minutes; here for one.
    with node_network(tmp_path, RAY_RUNTIME_ENV_TEMPORARY_REFERENCE_EXPIRATION_S="60") as network:
        head = network.start(0)
        first, second = network.start(2), network.start(2)
        missing = mcmfh(network, "serve", "status")
        assert (missing.returncode, "mcmfh submit serve" in missing.stderr) == (2, True)

        assert "snapshot 1" in deploy(network, archive, tmp_path)
        # The job alone set HAProxy's variables; the proxy of each node that has one takes them over.
        for node in (head, *replicas(network)):
            until(lambda node=node: answers(node))
            assert "haproxy" in node.processes().values()

        changed = tmp_path / "changed"
        for part in ("jobs", "mcmfh"):
            shutil.copytree(REPOSITORY / part, changed / part)
        (changed / "mcmfh" / "later.py").write_text("")
        deploy(network, archive, tmp_path, checkout=changed)

        time.sleep(70)
        lost = replicas(network)[0]
        assert lost in (first, second)
        other = second if lost is first else first
        lost.kill()
        until(lambda: replicas(network) == [other] and answers(other) and answers(head))

        assert mcmfh(network, "serve", "delete").returncode == 0
        assert mcmfh(network, "serve", "status").returncode == 2
        assert not answers(head)


def test_upgrades_fail_no_request(archive, models, tmp_path):
    """To a new snapshot, to a new bundle, and to new settings, which replace the replicas one after another."""
    with node_network(tmp_path) as network:
        head = network.start(2)
        network.start(2)
        deploy(network, archive, tmp_path, "serve.replicas=2", "serve.max_replicas_per_node=1", "serve.poll_seconds=1")
        until(lambda: len(replicas(network)) == 2 and answers(head))
        with load([f"http://{head.address}:8000"]) as (seen,):
            publish_rows(archive, rows(["n1"]), model=models[0])
            until(lambda: seen.snapshots[-20:] == [2] * 20)
            publish_rows(archive, rows(["n2"]), model=models[1])
            until(lambda: seen.snapshots[-20:] == [3] * 20)
            said = deploy(network, archive, tmp_path, "serve.replicas=2", "serve.max_replicas_per_node=1")
            assert "snapshot 3" in said
            time.sleep(5)
        assert seen.failed_tries == seen.lost == []
        assert seen.snapshots[-1] == 3
