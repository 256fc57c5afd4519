"""The whole way on several nodes with an S3 store, a node killed in each stage, against the same on one machine."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pytest
from safetensors.numpy import load
from support import chaos_jobs
from support.cut_proxy import cut_proxy
from support.node_network import REPOSITORY, Network, Node, node_network
from support.s3_server import KEY, SECRET

from mcmfh.client import search_endpoint
from mcmfh.errors import InputError
from mcmfh.hashing import registry
from mcmfh.processes import command_line
from mcmfh.serving.keys import new_key
from mcmfh.store import files
from mcmfh.store.layout import bundles_folder, training_folder

pytestmark = pytest.mark.cluster

FIRST, ALL = 480, 720  # items of the archive when it is embedded, and when it is hashed
ACCESS, DIGEST = new_key()
TRAINING = ["train.hidden=8", "train.batch_size=64", "train.min_steps=1", "train.epochs=400", "train.workers=2"]
TRAINING += ["train.device=cpu"]  # where the claimed GPU has none
ANSWERS = """
from ray.job_submission import JobSubmissionClient
from ray.util import state
client = JobSubmissionClient()
jobs = client.list_jobs()
print(jobs, *(client.get_job_info(job.submission_id) for job in jobs if job.submission_id))
print(*(client.get_job_logs(job.submission_id) for job in jobs if job.submission_id))
for what in ("actors", "tasks", "jobs", "nodes", "workers", "placement_groups", "objects", "runtime_envs"):
    print(what, getattr(state, f"list_{what}")(detail=True, limit=10000, raise_on_missing_output=False))
"""


@dataclass
class Way:
    """What the cluster has done: the store of its results, what each job said, and what Ray says at the end."""

    store: str
    manifest: str
    said: dict[str, str] = field(default_factory=dict)
    hits: list[int] = field(default_factory=list)
    ray_says: str = ""
    logs: int = 0


def working(node: Node, *names: str) -> bool:
    """Whether a process of the node runs a task of these names at the moment."""
    titles = [command_line(pid).replace("\0", " ") for pid in node.processes()]
    return any(title.startswith("ray::") and all(name in title for name in names) for title in titles)


def until(true: Callable[[], object], *jobs: "Future[subprocess.CompletedProcess[str]]", seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        for job in jobs:
            assert not job.done(), job.result().stdout + job.result().stderr
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def mcmfh(network: Network, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "mcmfh.cli", *words]
    return subprocess.run(command, cwd=REPOSITORY, env=network.environment, capture_output=True, text=True, timeout=500)


def checkpoints(store: str) -> list[str]:
    folder = training_folder(store)
    return [name for run in files.names(folder) for name in files.names(files.join(folder, run)) if "epoch" in name]


def answered(node: Node) -> int:
    """Hits of a query at the node's proxy; 0 where none answers."""
    try:
        url = f"http://{node.address}:8000"
        return len(search_endpoint(url, None, {"report": "finding 7", "k": 3}, ACCESS)["hits"])
    except InputError:
        return 0


def replicas(network: Network) -> list[Node]:
    """The nodes on which replicas of the endpoint run."""
    said = mcmfh(network, "serve", "status").stdout
    return [node for node in network.nodes if f"RUNNING on {node.address}\n" in said + "\n"]


@pytest.fixture(scope="module")
def way(s3_endpoint, tmp_path_factory) -> Iterator[Way]:
    """Embed, train, hash, serve and query, each with a node killed; nodes that claim a GPU come and go."""
    from support.s3_server import new_prefix

    root, folder = new_prefix(s3_endpoint), tmp_path_factory.mktemp("nodes")
    manifest = chaos_jobs.write_archive(f"{root}/archive", ALL)
    first = chaos_jobs.write_manifest(f"{root}/archive", chaos_jobs.read_rows(manifest)[:FIRST], "first")
    credentials = folder / "credentials"
    credentials.write_text(f"[default]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n")
    held = {"AWS_SHARED_CREDENTIALS_FILE": str(credentials), "AWS_EC2_METADATA_DISABLED": "true"}
    way = Way(f"{root}/store", manifest)
    with (
        node_network(folder, **held) as network,
        ThreadPoolExecutor(1) as pool,
        cut_proxy(s3_endpoint, f"{network.subnet}.1") as (s3, _),
    ):
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            del network.environment[name]
        network.environment["AWS_ENDPOINT_URL"] = s3
        head, first_node, second = network.start(1), network.start(1), network.start(1)

        def submit(job: str, *settings: str) -> "Future[subprocess.CompletedProcess[str]]":
            given = [f"store={way.store}", "embed.unit_items=16", "archive.max_failure_rate=1", *settings]
            return pool.submit(mcmfh, network, "submit", job, *given)

        def ended(name: str, job: "Future[subprocess.CompletedProcess[str]]") -> None:
            done = job.result()
            assert done.returncode == 0, done.stdout + done.stderr
            way.said[name] = done.stdout + done.stderr

        job = submit("embed", f"archive.manifest={first}")
        until(lambda: working(first_node, "UnitEncoder", "submit"), job)
        first_node.crash()
        third = network.start(1, "--num-gpus=1")
        until(lambda: working(third, "UnitEncoder", "submit"), job, seconds=60)
        ended("embed", job)

        job = submit("train", f"archive.manifest={first}", *TRAINING)
        until(lambda: checkpoints(way.store), job)
        until(lambda: working(second, "RayTrainWorker"), job)
        second.crash()
        network.start(1)
        ended("train", job)

        job = submit("hash", f"archive.manifest={manifest}")
        until(lambda: working(third, "UnitEncoder", "submit"), job)
        third.crash()
        ended("hash", job)

        network.start(1)
        keys = folder / "keys.yaml"
        keys.write_text(f"- {{name: ward, sha256: {DIGEST}}}\n")
        serving = [f"serve.keys_uri={keys}", "serve.host=0.0.0.0", "serve.replicas=2", "serve.max_replicas_per_node=1"]
        ended("serve", submit("serve", *serving))
        until(lambda: len(replicas(network)) == 2 and answered(head))
        way.hits.append(answered(head))
        next(node for node in replicas(network) if node is not head).crash()
        until(lambda: answered(head))
        way.hits.append(answered(head))
        said = subprocess.run(
            [sys.executable, "-c", ANSWERS], env=network.environment, capture_output=True, text=True, timeout=120
        )
        assert said.returncode == 0, said.stderr
        way.ray_says = said.stdout
        for path in folder.rglob("*"):
            if "logs" in path.parts and path.is_file():
                way.ray_says += path.read_text(errors="replace")
                way.logs += 1
        yield way


@pytest.fixture(scope="module")
def alone(way, tmp_path_factory) -> str:
    """The store of a run on this machine alone, on the same archive, hashed with the model of the cluster."""
    folder, store = tmp_path_factory.mktemp("alone"), f"{way.store}-alone"
    settings = [f"store={store}", f"archive.manifest={way.manifest}", "embed.unit_items=16", "cluster.num_cpus=2"]
    bundle = f"hash.bundle={registry.resolve(way.store, 'latest')}"
    first = f"archive.manifest={files.join(files.parent(way.manifest), 'first.csv')}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_") or "AUTH" in name}
    for job, more in (("embed", [first]), ("train", [first, *TRAINING]), ("hash_archive", [bundle])):
        done = subprocess.run(
            [sys.executable, f"jobs/{job}.py", *settings, "archive.max_failure_rate=1", *more],
            cwd=REPOSITORY,
            env=environment | {"PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            timeout=500,
        )
        assert done.returncode == 0, (folder, done.stdout + done.stderr)
    return store


def test_each_stage_survives_the_loss_of_a_node(way):
    assert f"of {FIRST} inputs" in way.said["embed"]
    assert "model 1:" in way.said["train"]
    assert f"snapshot 1: {ALL - chaos_jobs.BROKEN} items + {chaos_jobs.BROKEN} quarantined" in way.said["hash"]
    assert way.hits == [3, 3]


def test_nodes_with_gpus_that_come_and_go_make_no_other_encoder(way, alone):
    assert [name for name in files.names(f"{way.store}/embeddings") if len(name) == 64] == [
        name for name in files.names(f"{alone}/embeddings") if len(name) == 64
    ]


def test_embeddings_are_those_of_one_machine_to_the_byte(way, alone):
    here, there = ({uri.removeprefix(root): files.read(uri) for uri in units(root)} for root in (way.store, alone))
    assert len(here) >= ALL // 16
    assert here == there


def units(store: str) -> list[str]:
    return [uri for uri, _ in files.walk(f"{store}/embeddings") if uri.endswith(".parquet")]


def test_codes_of_one_model_are_those_of_one_machine(way, alone):
    assert chaos_jobs.codes(way.store) == chaos_jobs.codes(alone)


def test_trained_weights_agree(way, alone):
    one, other = (load(files.read(weights(store))) for store in (way.store, alone))
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        np.testing.assert_allclose(tensor, other[name], atol=1e-5, err_msg=name)


def weights(store: str) -> str:
    (bundle,) = files.names(bundles_folder(store))
    return files.join(bundles_folder(store), bundle, "model.safetensors")


def test_the_secret_of_the_store_is_nowhere(way):
    assert way.logs > 50
    assert len(way.ray_says) > 10_000
    assert SECRET not in way.ray_says
