"""`mcmfh submit` against a real cluster of its own: the job runs there, its log and its exit code come back."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from mcmfh.phantom import write_phantom
from mcmfh.store import files

REPOSITORY = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.ray]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def cluster_environment(tmp_path_factory):
    """A head node with token authentication; yields the environment that reaches it."""
    folder = tmp_path_factory.mktemp("head")
    (folder / "token").write_text("f" * 64)
    jobs = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
        # A node's jobs run the `python` of the shell that started it.
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(folder / "token"),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{jobs}",
    }
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--node-ip-address=127.0.0.1"]
    command += [f"--port={free_port()}", f"--dashboard-port={jobs}", "--dashboard-host=127.0.0.1", "--num-cpus=4"]
    command += [f"--dashboard-agent-listen-port={free_port()}", f"--ray-client-server-port={free_port()}"]
    command += ["--object-store-memory=200000000", "--disable-usage-stats"]
    with (folder / "log").open("wb") as log:
        head = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        try:
            _wait(environment["RAY_API_SERVER_ADDRESS"], head)
            yield environment
        finally:
            os.killpg(head.pid, signal.SIGTERM)
            head.wait(60)


def _wait(url: str, head: subprocess.Popen) -> None:
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


def submit(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "mcmfh.cli", "submit", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=400)


def test_a_job_runs_on_the_cluster_and_its_log_comes_back(cluster_environment, tmp_path):
    manifest = write_phantom(f"file://{tmp_path}/phantom", studies=40, seed=1)
    settings = [f"store={tmp_path}/store", f"archive.manifest={manifest}", "train.method=itq", "train.bits=8"]
    for job, said in (("embed", "embedded"), ("train", "model 1"), ("hash", "snapshot 1:")):
        done = submit(cluster_environment, job, *settings)
        assert done.returncode == 0, done.stdout + done.stderr
        assert said in done.stdout
    assert files.names(f"file://{tmp_path}/store/archives/archive/snapshots") == ["000001.json"]


def test_the_exit_code_of_a_refused_job_comes_back(cluster_environment):
    done = submit(cluster_environment, "train", "train.bitz=16")
    assert done.returncode == 2
    assert "train.bitz" in done.stdout


def test_mistakes_are_named_before_anything_is_sent(cluster_environment):
    unknown = submit(cluster_environment, "paint")
    assert unknown.returncode == 2
    assert "'paint' is not known" in unknown.stderr
    nobody = submit({**cluster_environment, "RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{free_port()}"}, "train")
    assert nobody.returncode == 2
    assert "no cluster answers" in nobody.stderr
