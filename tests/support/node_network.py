"""Several Ray nodes on one machine, each with an address of its own: `ray start` in network namespaces on a bridge.

Needs root and iproute2. /tmp/ray and HAProxy's folder are each node's own, as on machines; the rest of the file system
is shared.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
OWN_FOLDERS = ("/tmp/ray", "/tmp/haproxy-serve")
JOBS_PORT = 8265


class Node:
    """A running node. `address`: its IP address."""

    def __init__(self, name: str, address: str, process: "subprocess.Popen[bytes]"):
        self.name, self.address, self.process = name, address, process

    def processes(self) -> dict[int, str]:
        """Process id → name of the program, of all that runs on the node."""
        ids = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True).stdout.split()
        found = {}
        for pid in map(int, ids):
            try:
                found[pid] = Path(f"/proc/{pid}/comm").read_text().strip()
            except OSError:  # it has ended since
                continue
        return found

    def kill(self) -> None:
        """What a machine does whose power fails: it is silent from now on."""
        _ip("-n", self.name, "link", "set", "eth0", "down")
        self._end(signal.SIGKILL)

    def _end(self, sign: signal.Signals) -> None:
        while running := self.processes():
            for pid in running:
                try:
                    os.kill(pid, sign)
                except ProcessLookupError:
                    continue
            time.sleep(0.2)
        self.process.wait(10)


class Network:
    """Nodes that are started one by one; the first is the head. `environment` reaches its Jobs API."""

    def __init__(self, folder: Path, **variables: str):
        self.folder, self.variables = folder, variables
        # Names of interfaces have 15 characters at most; two runs on a machine have different ones.
        self.bridge, self.subnet = f"mcmfh{os.getpid() % 100000}", f"10.83.{os.getpid() % 250}"
        self.nodes: list[Node] = []
        (folder / "token").write_text("f" * 64)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(folder / "token"),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_API_SERVER_ADDRESS": f"http://{self.subnet}.2:{JOBS_PORT}",
        }
        _ip("link", "add", self.bridge, "type", "bridge")
        _ip("addr", "add", f"{self.subnet}.1/24", "dev", self.bridge)
        _ip("link", "set", self.bridge, "up")

    def start(self, cpus: int = 2, *options: str, **variables: str) -> Node:
        """A further node. options: of `ray start`; variables: of its environment."""
        number = len(self.nodes)
        name, address = f"{self.bridge}-{number}", f"{self.subnet}.{number + 2}"
        cable = f"{self.bridge}.{number}"
        _ip("netns", "add", name)
        _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("link", "set", cable, "master", self.bridge, "up")
        _ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
        for device in ("eth0", "lo"):
            _ip("-n", name, "link", "set", device, "up")
        folder = self.folder / name
        where = ["--head", "--port=6379", "--dashboard-host=0.0.0.0", f"--dashboard-port={JOBS_PORT}"]
        where = where if number == 0 else [f"--address={self.nodes[0].address}:6379"]
        own = []
        for shared in OWN_FOLDERS:
            (folder / shared.strip("/")).mkdir(parents=True)
            Path(shared).mkdir(exist_ok=True)
            own.append(f"mount --bind {folder}{shared} {shared}")
        ray = ["ray", "start", "--block", "--disable-usage-stats", f"--node-ip-address={address}", *where]
        ray += [f"--num-cpus={cpus}", "--object-store-memory=150000000", *options]
        command = ["ip", "netns", "exec", name, "sh", "-c", " && ".join([*own, f"exec {' '.join(ray)}"])]
        environment = {**self.environment, "MCMFH_CACHE": f"{folder}/cache", **self.variables, **variables}
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        node = Node(name, address, process)
        self.nodes.append(node)
        _wait(f"http://{address}:{52365 if number else JOBS_PORT}/api/healthz", process, folder / "log")
        return node

    def close(self) -> None:
        for node in reversed(self.nodes):
            node._end(signal.SIGKILL)
            _ip("netns", "del", node.name)
        _ip("link", "del", self.bridge)


@contextmanager
def node_network(folder: Path, **variables: str) -> Iterator[Network]:
    """A network without nodes; skips the test where this machine lends none. variables: of every node."""
    if os.geteuid() or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")
    network = Network(folder, **variables)
    try:
        yield network
    finally:
        network.close()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def _wait(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5)
        except urllib.error.HTTPError:
            return  # it answers, and asks for the token
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise RuntimeError(f"the node did not start: {log.read_text()[-2000:]}")
