"""Several Ray nodes on one machine, each with an address of its own: `ray start` in network namespaces on a bridge.

Needs root and iproute2. /tmp/ray and HAProxy's folder are each node's own, as on machines; the rest of the file system
is shared.
"""

import itertools
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
NETWORKS = itertools.count()
JOBS_PORT, AGENT_PORT = 8265, 52365


class Node:
    """A running node. `address`: its IP address."""

    def __init__(self, name: str, address: str, process: "subprocess.Popen[bytes]", log: Path):
        self.name, self.address, self.process, self.log = name, address, process, log

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

    def crash(self) -> None:
        """Kill all its processes (SIGKILL); unlike a machine without power, it refuses connections at once."""
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
        # Names of interfaces have 15 characters at most; two networks on a machine have different ones.
        number = next(NETWORKS)
        self.bridge, self.subnet = f"mc{os.getpid() % 10**7}-{number}", f"10.83.{(os.getpid() + number) % 250}"
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
        """A further node, which `ray start` makes. options: of that command; variables: of the node's environment."""
        head = not self.nodes
        where = ["--head", "--port=6379", "--dashboard-host=0.0.0.0", f"--dashboard-port={JOBS_PORT}"]
        where = where if head else [f"--address={self.nodes[0].address}:6379"]
        ray = ["ray", "start", "--block", "--disable-usage-stats", *where]
        ray += [f"--num-cpus={cpus}", "--object-store-memory=150000000", *options]
        node = self._lend(" ".join(ray), REPOSITORY, {**self.environment, **self.variables, **variables})
        _wait(f"http://{node.address}:{JOBS_PORT if head else AGENT_PORT}/api/healthz", node)
        return node

    def start_by(self, line: str, folder: Path, environment: dict[str, str]) -> Node:
        """A further node, on which a user types `line` of bash in `folder`; returns when it has ended."""
        node = self._lend(line, folder, environment)
        if node.process.wait(120):
            raise RuntimeError(f"the node did not start: {node.log.read_text()[-2000:]}")
        return node

    def _lend(self, line: str, folder: Path, environment: dict[str, str]) -> Node:
        number = len(self.nodes)
        name, address = f"{self.bridge}-{number}", f"{self.subnet}.{number + 2}"
        cable = f"{self.bridge}.{number}"
        _ip("netns", "add", name)
        _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("link", "set", cable, "master", self.bridge, "up")
        _ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
        for device in ("eth0", "lo"):
            _ip("-n", name, "link", "set", device, "up")
        _ip("-n", name, "route", "add", "default", "via", f"{self.subnet}.1")  # Ray asks for its address by it
        own = self.folder / name
        mounts = []
        for shared in OWN_FOLDERS:
            (own / shared.strip("/")).mkdir(parents=True)
            Path(shared).mkdir(exist_ok=True)
            mounts.append(f"mount --bind {own}{shared} {shared}")
        command = ["ip", "netns", "exec", name, "bash", "-ec", "\n".join([*mounts, line])]
        log = own / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=folder,
                stdout=output,
                stderr=output,
                env={**environment, "MCMFH_CACHE": f"{own}/cache"},
                start_new_session=True,
            )
        self.nodes.append(Node(name, address, process, log))
        return self.nodes[-1]

    def close(self) -> None:
        for node in reversed(self.nodes):
            node._end(signal.SIGKILL)
            _ip("link", "del", f"{self.bridge}.{self.nodes.index(node)}")
            _ip("netns", "del", node.name)
        _ip("link", "del", self.bridge)


@contextmanager
def node_network(folder: Path, **variables: str) -> Iterator[Network]:
    """A network without nodes; skips the test where this machine lends none. variables: of every node."""
    if shutil.which("ip") is None:
        pytest.skip("network namespaces need iproute2")
    if refusal := _refusal():
        pytest.skip(f"this machine lends no network namespace with a bridge: {refusal}")
    network = Network(folder, **variables)
    try:
        yield network
    finally:
        network.close()


def _refusal() -> str:
    """What the machine says to a network namespace, to a program within it, and to a bridge; "" where it lends them."""
    name, said = f"mc{os.getpid() % 10**7}-probe", ""
    tried = [("netns", "add", name), ("netns", "exec", name, "true"), ("link", "add", name, "type", "bridge")]
    undone = [("netns", "del", name), ("link", "del", name)]
    for arguments in tried + undone:
        done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
        said = said or (done.stderr.strip() if done.returncode else "")
    return said


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def _wait(url: str, node: Node) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and node.process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5)
        except urllib.error.HTTPError:
            return  # it answers, and asks for the token
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise RuntimeError(f"the node did not start: {node.log.read_text()[-2000:]}")
