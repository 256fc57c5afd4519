"""All that a Ray cluster says about itself: every GET of its dashboard, its state API, each node's metrics and logs."""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray.dashboard
from support.node_network import JOBS_PORT, Network, Node

ROUTE = re.compile(r'routes\.get\(\s*"([^"]+)"')
STATE = ("actors", "jobs", "nodes", "placement_groups", "workers", "tasks", "objects", "runtime_envs")
# They wait, or measure a process for seconds; neither tells of the cluster's jobs.
PASSED_OVER = re.compile(r"profile|/delay/|/tail$|/packages/|job_agent")


def answers(network: Network) -> dict[str, str]:
    """Route → its answer, of all GETs of the head's dashboard and of each node's metrics."""
    head = network.nodes[0]
    base, token = f"http://{head.address}:{JOBS_PORT}", Path(network.environment["RAY_AUTH_TOKEN_PATH"]).read_text()
    found = {}
    jobs = json.loads(_get(f"{base}/api/jobs/", token))
    actors = json.loads(_get(f"{base}/logical/actors", token))["data"]["actors"]
    nodes = json.loads(_get(f"{base}/api/v0/nodes?limit=10000", token))["data"]["result"]["result"]
    known = {
        "job_or_submission_id": [job["submission_id"] or job["job_id"] for job in jobs],
        "job_id": [job["job_id"] for job in jobs if job["job_id"]],
        "actor_id": list(actors),
        "node_id": [node["node_id"] for node in nodes],
        "media_type": [],
    }
    for route in routes():
        for path in _filled(route, known):
            more = "?detail=1&limit=10000" if path.removeprefix("/api/v0/") in STATE else ""
            found[path] = _get(f"{base}{path}{more}", token)
    for node in network.nodes:
        for port in _metric_ports(network, node):
            found[f"{node.address}:{port}/metrics"] = _get(f"http://{node.address}:{port}/metrics", token)
    return found


def routes() -> list[str]:
    """What the dashboard answers to GET, of the source of this version of Ray."""
    folder = Path(ray.dashboard.__file__).parent
    every = {route for file in folder.rglob("*.py") for route in ROUTE.findall(file.read_text())}
    return sorted(route for route in every if not PASSED_OVER.search(route))


def logs(network: Network) -> dict[str, str]:
    """The log files of every node, of those that have been killed too, and what `ray start` printed."""
    files = [path for path in network.folder.rglob("*") if "logs" in path.parts or path.name == "log"]
    return {str(path): path.read_text(errors="replace") for path in files if path.is_file()}


def _filled(route: str, known: dict[str, list[Any]]) -> Iterator[str]:
    """The route with each value that its parameter, if it has one, takes in this cluster."""
    parameter = re.search(r"\{(\w+)\}", route)
    if parameter is None:
        yield route
        return
    for value in known[parameter[1]]:
        yield route.replace(parameter[0], str(value))


def _metric_ports(network: Network, node: Node) -> set[int]:
    """The ports of a running node at which Prometheus finds metrics."""
    files = (network.folder / node.name).rglob("metrics_export_port_*") if node.processes() else ()
    return {int(file.read_text()) for file in files}


def _get(url: str, token: str) -> str:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return str(response.read().decode(errors="replace"))
    except urllib.error.HTTPError as error:
        return error.read().decode(errors="replace")
