"""A Ray head node of its own beside the session's Ray: `ray start`, with token authentication."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mcmfh.processes import free_port

REPOSITORY = Path(__file__).parents[2]


@contextmanager
def head_node(folder: Path, *options: str, light_encoder: bool = False, **variables: str) -> Iterator[dict[str, str]]:
    """Start a head node, of four (nominal) cores unless options say otherwise; yields the environment that reaches it.

    RAY_API_SERVER_ADDRESS is its Jobs API, RAY_ADDRESS the cluster. options: of `ray start`; light_encoder: its workers
    and whoever has this environment take the encoder of tests/support/child for the configured one. variables: of the
    node alone, which has no other AWS_… ones where some are given.
    """
    child = REPOSITORY / "tests" / "support" / "child"
    (folder / "token").write_text("f" * 64)
    port, jobs = free_port(), free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
        # A node's jobs run the `python` of the shell that started it.
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": f"{child}:{REPOSITORY}" if light_encoder else str(REPOSITORY),
        **({"CHAOS_FOLDER": str(folder)} if light_encoder else {}),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(folder / "token"),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{jobs}",
    }
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--node-ip-address=127.0.0.1"]
    command += [f"--port={port}", f"--dashboard-port={jobs}", "--dashboard-host=127.0.0.1"]
    command += [] if any(option.startswith("--num-cpus") for option in options) else ["--num-cpus=4"]
    command += [f"--dashboard-agent-listen-port={free_port()}", f"--ray-client-server-port={free_port()}"]
    command += ["--object-store-memory=200000000", "--disable-usage-stats", *options]
    own = {name: value for name, value in environment.items() if not (variables and name.startswith("AWS_"))}
    with (folder / "log").open("wb") as log:
        head = subprocess.Popen(command, stdout=log, stderr=log, env=own | variables, start_new_session=True)
        try:
            _wait(environment["RAY_API_SERVER_ADDRESS"], head)
            yield {**environment, "RAY_ADDRESS": f"127.0.0.1:{port}"}
        finally:
            os.killpg(head.pid, signal.SIGTERM)
            head.wait(60)


@contextmanager
def further_node(folder: Path, environment: dict[str, str], *options: str, **variables: str) -> Iterator[None]:
    """A node of one CPU that joins the cluster of `environment`. options: of `ray start`; variables: of the node alone.

    Its own lines of the light encoder go to folder/log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--node-ip-address=127.0.0.1"]
    command += [f"--address={environment['RAY_ADDRESS']}", f"--dashboard-agent-listen-port={free_port()}"]
    command += ["--object-store-memory=200000000", "--disable-usage-stats", *(options or ("--num-cpus=1",))]
    own = {name: value for name, value in environment.items() if name != "RAY_ADDRESS"}
    if "CHAOS_FOLDER" in own:
        own["CHAOS_FOLDER"] = str(folder)
    with (folder / "node_log").open("wb") as log:
        node = subprocess.Popen(command, stdout=log, stderr=log, env=own | variables, start_new_session=True)
        try:
            yield
        finally:
            os.killpg(node.pid, signal.SIGTERM)
            node.wait(60)


def _wait(url: str, head: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and head.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5)
        except urllib.error.HTTPError:
            return  # it answers, and asks for the token
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise RuntimeError("the head node did not start")
