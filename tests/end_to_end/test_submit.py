"""`mcmfh submit` against a real cluster of its own: the job runs there, its log and its exit code come back."""

import subprocess
import sys

import pytest
from support.head_node import REPOSITORY, free_port, head_node

from mcmfh.phantom import write_phantom
from mcmfh.store import files

pytestmark = [pytest.mark.slow, pytest.mark.ray]


@pytest.fixture(scope="module")
def cluster_environment(tmp_path_factory):
    """The environment that reaches a head node."""
    with head_node(tmp_path_factory.mktemp("head")) as environment:
        yield environment


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
