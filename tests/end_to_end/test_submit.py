"""`mcmfh submit` against a real cluster of its own: the job runs there, its log and its exit code come back."""

import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.cut_proxy import cut_proxy
from support.head_node import REPOSITORY, head_node

from mcmfh.phantom import write_phantom
from mcmfh.processes import free_port
from mcmfh.store import files
from mcmfh.submission import STILL_RUNNING

pytestmark = [pytest.mark.slow, pytest.mark.ray]


@pytest.fixture(scope="module")
def cluster_environment(tmp_path_factory):
    """The environment that reaches a head node."""
    with head_node(tmp_path_factory.mktemp("head")) as environment:
        yield environment


def submit(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess:
    return mcmfh(environment, "submit", *arguments)


def mcmfh(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "mcmfh.cli", *arguments]
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


def test_a_connection_that_is_cut_changes_neither_log_nor_exit_code(cluster_environment, tmp_path):
    manifest = write_phantom(f"file://{tmp_path}/phantom", studies=500, seed=1)
    settings = [f"store={tmp_path}/store", f"archive.manifest={manifest}", "archive.name=cut", "embed.unit_items=8"]
    with cut_proxy(cluster_environment["RAY_API_SERVER_ADDRESS"]) as (url, connections), ThreadPoolExecutor(1) as pool:
        done = pool.submit(submit, {**cluster_environment, "RAY_API_SERVER_ADDRESS": url}, "embed", *settings)
        while not list((tmp_path / "store").glob("embeddings/*/*/*")):
            assert not done.done(), done.result().stderr
            time.sleep(0.1)
        connections.cut_again_and_again(5)
        assert not done.done()
    assert done.result().returncode == 0, done.result().stderr
    assert done.result().stdout.count("embedded") == done.result().stdout.count("encoder packaged") == 1
    failed = submit(cluster_environment, "train", *settings, "train.bits=16", "archive.filters=[nowhere]")
    assert failed.returncode == 2


def test_who_detaches_can_follow_and_stop(cluster_environment, tmp_path):
    manifest = write_phantom(f"file://{tmp_path}/phantom", studies=40, seed=1)
    settings = [f"store={tmp_path}/store", f"archive.manifest={manifest}", "archive.name=left"]
    command = [sys.executable, "-m", "mcmfh.cli", "submit", "embed", *settings]
    following = subprocess.Popen(command, cwd=REPOSITORY, env=cluster_environment, stderr=subprocess.PIPE, text=True)
    said = next(line for line in following.stderr if line.startswith("submitted"))
    name = said.split()[1].rstrip(":")
    assert name.startswith("left-embed-")
    time.sleep(1)
    following.send_signal(signal.SIGINT)
    assert f"mcmfh jobs logs {name}" in following.communicate(timeout=60)[1]
    assert following.returncode == STILL_RUNNING
    listed = mcmfh(cluster_environment, "jobs", "list").stdout.splitlines()
    assert listed[1].split()[:3] == [name, "embed", "left"]
    assert mcmfh(cluster_environment, "jobs", "stop", name).returncode == 0
    stopped = mcmfh(cluster_environment, "jobs", "logs", name)
    assert stopped.returncode not in (0, 2, STILL_RUNNING)
    assert "was stopped" in stopped.stderr
    assert mcmfh(cluster_environment, "jobs", "logs", "nothing").returncode == 2


def test_mistakes_are_named_before_anything_is_sent(cluster_environment):
    unknown = submit(cluster_environment, "paint")
    assert unknown.returncode == 2
    assert "'paint' is not known" in unknown.stderr
    nobody = submit({**cluster_environment, "RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{free_port()}"}, "train")
    assert nobody.returncode == 2
    assert "no cluster answers" in nobody.stderr
