"""The whole way on several nodes with an S3 store, a node killed in each stage, against the same on one machine.

The store answers slowly where a test must see something before a job ends, so that the job waits whatever the machine's
pace. `make test-cluster` runs it; with `-s` it prints what it measured.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
import pytest
from safetensors.numpy import load
from support import chaos_jobs, ray_answers
from support.cut_proxy import cut_proxy
from support.endpoint_nodes import mcmfh, replicas, until
from support.node_network import REPOSITORY, Network, Node, node_network
from support.s3_server import KEY, SECRET, new_prefix

from mcmfh.client import search_endpoint
from mcmfh.errors import InputError
from mcmfh.hashing import registry
from mcmfh.processes import command_line
from mcmfh.serving.keys import new_key
from mcmfh.store import files
from mcmfh.store.layout import bundles_folder, training_folder

pytestmark = pytest.mark.cluster

FIRST, ALL = 480, 720  # items of the archive when it is embedded, and when it is hashed
UNIT = 4  # items
PAUSE_S = 5  # before the store takes a unit, while a job is held
CUTS = 5
ACCESS, DIGEST = new_key()
TRAINING = ["train.hidden=8", "train.batch_size=64", "train.min_steps=1", "train.epochs=400", "train.workers=2"]
TRAINING += ["train.device=cpu"]  # where the claimed GPU has none

Job = Future[subprocess.CompletedProcess[str]]


@dataclass
class Way:
    """What the cluster has done: the store of its results, what each job said, and what Ray says at the end."""

    store: str
    manifest: str
    said: dict[str, str] = field(default_factory=dict)
    hits: list[int] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)
    warned: dict[str, str] = field(default_factory=dict)


def encodes(node: Node) -> bool:
    """Whether the node encodes a unit at the moment."""
    return _runs(node, "UnitEncoder", "submit")


def trains(node: Node) -> bool:
    return _runs(node, "RayTrainWorker")


def _runs(node: Node, *names: str) -> bool:
    titles = [command_line(pid).replace("\0", " ") for pid in node.processes()]
    return any(title.startswith("ray::") and all(name in title for name in names) for title in titles)


def during(job: Job, true: Callable[[], object], seconds: float = 400) -> float:
    """The seconds until `true` is; fails where the job ends before."""
    began = time.monotonic()

    def now() -> bool:
        assert not job.done(), job.result().stdout + job.result().stderr
        return bool(true())

    until(now, seconds)
    return time.monotonic() - began


def caught(job: Job, nodes: list[Node], doing: Callable[[Node], bool]) -> Node:
    """A node of `nodes` that is `doing` something for the job at the moment."""
    found: list[Node] = []

    def look() -> bool:
        found.extend(node for node in nodes if doing(node))
        return bool(found)

    during(job, look)
    return found[0]


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


@pytest.fixture(scope="module")
def way(s3_endpoint, tmp_path_factory) -> Iterator[Way]:
    """Embed, train, hash, serve and query, each with a node killed; nodes that claim a GPU come and go."""
    root, folder = new_prefix(s3_endpoint), tmp_path_factory.mktemp("nodes")
    manifest = chaos_jobs.write_archive(f"{root}/archive", ALL)
    first = chaos_jobs.write_manifest(f"{root}/archive", chaos_jobs.read_rows(manifest)[:FIRST], "first")
    credentials = folder / "credentials"
    credentials.write_text(f"[default]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n")
    held = {"AWS_SHARED_CREDENTIALS_FILE": str(credentials), "AWS_EC2_METADATA_DISABLED": "true"}
    way = Way(f"{root}/store", manifest)
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(1))
        network = stack.enter_context(node_network(folder, **held))
        s3, store = stack.enter_context(cut_proxy(s3_endpoint, f"{network.subnet}.1"))
        store.pause_s = PAUSE_S
        keys = {name: network.environment.pop(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
        network.environment["AWS_ENDPOINT_URL"] = s3
        head, first_node, second = network.start(1), network.start(1), network.start(1)
        jobs_url, jobs_api = stack.enter_context(cut_proxy(network.environment["RAY_API_SERVER_ADDRESS"]))

        def submit(job: str, *settings: str) -> Job:
            given = [f"store={way.store}", f"embed.unit_items={UNIT}", "archive.max_failure_rate=1", *settings]
            return pool.submit(mcmfh, network, "submit", job, *given, RAY_API_SERVER_ADDRESS=jobs_url)

        def ended(name: str, job: Job) -> None:
            done = job.result()
            way.said[name] = done.stdout + done.stderr
            assert done.returncode == 0, way.said[name]

        def hold() -> None:
            store.slow = b"/units/"

        def release() -> None:
            store.slow = b""

        hold()
        job = submit("embed", f"archive.manifest={first}")
        # On one machine under all nodes, encoders that start take the processors from one another.
        for node in (head, first_node, second):
            during(job, lambda node=node: encodes(node))
        third = network.start(1, "--num-gpus=1")
        late_s = during(job, lambda: encodes(third))
        first_node.crash()
        jobs_api.cut_again_and_again(CUTS)
        assert not job.done()
        release()
        ended("embed", job)

        job = submit("train", f"archive.manifest={first}", *TRAINING)
        during(job, lambda: checkpoints(way.store))
        lost = caught(job, [second, third], trains)
        lost.crash()
        fourth = network.start(1, "--num-gpus=1")
        ended("train", job)

        hold()
        job = submit("hash", f"archive.manifest={manifest}")
        caught(job, [fourth] if lost is third else [third, fourth], encodes).crash()
        release()
        ended("hash", job)

        network.start(1)
        admitted = folder / "keys.yaml"
        admitted.write_text(f"- {{name: ward, sha256: {DIGEST}}}\n")
        serving = [f"serve.keys_uri={admitted}", "serve.host=0.0.0.0", "serve.replicas=2"]
        ended("serve", submit("serve", *serving, "serve.max_replicas_per_node=1"))
        until(lambda: len(replicas(network)) == 2 and answered(head))
        way.hits.append(answered(head))
        next(node for node in replicas(network) if node is not head).crash()
        until(lambda: answered(head))
        way.hits.append(answered(head))
        way.answers, way.logs = everything_said(network)
        mcmfh(network, "submit", "train", "train.bitz=16", "cluster.forward_keys=true", **keys)
        way.warned, _ = everything_said(network)
        print(json.dumps({"a late node takes work after s": round(late_s, 1)}))
        yield way


def everything_said(network: Network) -> tuple[dict[str, str], dict[str, str]]:
    """(what all of Ray's APIs answer, every log of every node)"""
    return ray_answers.answers(network), ray_answers.logs(network)


@pytest.fixture(scope="module")
def alone(way, tmp_path_factory) -> str:
    """The store of a run on this machine alone, on the same archive, hashed with the model of the cluster."""
    folder, store = tmp_path_factory.mktemp("alone"), f"{way.store}-alone"
    settings = [f"store={store}", f"archive.manifest={way.manifest}", f"embed.unit_items={UNIT}", "cluster.num_cpus=2"]
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
    assert len(here) >= ALL // UNIT
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


def test_a_submitter_whose_connection_was_cut_saw_all_of_the_log_once(way):
    said = way.said["embed"]
    assert said.count(f"of {FIRST} inputs") == said.count("encoder packaged") == said.count("submitted ") == 1


def test_the_secret_of_the_store_is_nowhere(way):
    assert len(way.logs) > 300
    assert len(way.answers) > 60
    assert holding(SECRET, way.logs | way.answers) == []


def test_the_secret_is_seen_where_keys_travel_with_a_job(way):
    """What the test above reads would show it."""
    assert holding(SECRET, way.warned)


def holding(secret: str, texts: dict[str, str]) -> list[str]:
    return [name for name, text in texts.items() if secret in text]
