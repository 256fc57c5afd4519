"""Whatever is killed, whenever: the run after it publishes, byte for byte, what an undisturbed one publishes.

python -m pytest tests/chaos/test_kills.py -m slow -s      prints what each kill cost
"""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import chaos_jobs

from mcmfh.store import files

pytestmark = [pytest.mark.slow, pytest.mark.ray]
ITEMS, UNIT, WORKERS = 600, 32, 2
REPORTS = ITEMS - len(range(0, ITEMS, 7)) - sum(n % 7 != 0 for n in range(chaos_jobs.BROKEN))
DEATHS = (  # who is about to create such an object dies: after the unit's file, after the shard, after the last marker
    "embeddings/.*/done/",
    "archives/.*/done/",
    "snapshots/000001.json",
)


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> tuple[str, str]:
    """(manifest, bundle)."""
    folder = tmp_path_factory.mktemp("archive")
    return chaos_jobs.write_archive(f"file://{folder}", ITEMS), chaos_jobs.save_model(f"file://{folder}/bundles")


@pytest.fixture(scope="module")
def undisturbed(archive, tmp_path_factory) -> tuple[Path, int]:
    """A store nobody was killed over, and the number of log lines that took."""
    folder = tmp_path_factory.mktemp("undisturbed")
    chaos_jobs.run("hash_archive", str(folder / "store"), *archive, folder)
    assert chaos_jobs.encoded(folder) == REPORTS
    assert chaos_jobs.published(str(folder / "store")).items == ITEMS - chaos_jobs.BROKEN
    return folder / "store", len(chaos_jobs.lines(folder))


def finish(process: subprocess.Popen, archive, undisturbed, folder: Path, what: str) -> None:
    """Run the job again if the kill ended it; compare."""
    died = process.wait(400) != 0
    if died:
        chaos_jobs.run("hash_archive", str(folder / "store"), *archive, folder)
    here, there = f"file://{folder}/store", f"file://{undisturbed[0]}"
    snapshot = "archives/archive/snapshots/000001.json"
    assert files.read(files.join(here, snapshot)) == files.read(files.join(there, snapshot))
    assert chaos_jobs.codes(here) == chaos_jobs.codes(there)
    again = chaos_jobs.encoded(folder) - REPORTS
    shards = [line for line in chaos_jobs.lines(folder, "create") if line.endswith(".safetensors")]
    print(f"{what}: {'the job died and ran again' if died else 'the job went on'}, {again} items encoded twice")
    assert again <= WORKERS * UNIT
    assert len(shards) - len(set(shards)) <= 1


def wait_for(folder: Path, process: subprocess.Popen, events: int) -> None:
    while len(chaos_jobs.lines(folder)) < events and process.poll() is None:
        time.sleep(0.01)


@pytest.mark.parametrize("seed", range(7))
def test_driver(seed, archive, undisturbed, tmp_path):
    chance = random.Random(seed)
    process = chaos_jobs.start("hash_archive", str(tmp_path / "store"), *archive, tmp_path)
    events = chance.randrange(undisturbed[1])
    wait_for(tmp_path, process, events)
    time.sleep(chance.random() * (0.1 if events else 5))
    chaos_jobs.kill(process.pid)
    finish(process, archive, undisturbed, tmp_path, f"driver after event {events} of {undisturbed[1]}")


@pytest.mark.parametrize("seed", range(6))
def test_worker(seed, archive, undisturbed, tmp_path):
    chance = random.Random(100 + seed)
    process = chaos_jobs.start("hash_archive", str(tmp_path / "store"), *archive, tmp_path)
    events = chance.randrange(undisturbed[1])
    wait_for(tmp_path, process, events)
    workers: list[int] = []
    while not workers and process.poll() is None:
        found = [(pid, name) for pid, name in chaos_jobs.processes(process.pid) if name.startswith("ray::")]
        workers = [pid for pid, name in found if "IDLE" not in name] or [pid for pid, _ in found]
    if workers:
        chaos_jobs.kill(chance.choice(workers))
    finish(process, archive, undisturbed, tmp_path, f"worker after event {events} of {undisturbed[1]}")


@pytest.mark.parametrize("death", DEATHS)
def test_between_the_writes(death, archive, undisturbed, tmp_path):
    process = chaos_jobs.start("hash_archive", str(tmp_path / "store"), *archive, tmp_path, death=death)
    process.wait(400)
    assert (tmp_path / "died").exists()
    finish(process, archive, undisturbed, tmp_path, f"before {death}")


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    """(address, environment) of a head node that runs no workers, for the nodes that will die."""
    folder = tmp_path_factory.mktemp("head")
    (folder / "token").write_text("f" * 64)
    environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(folder / "token")}
    address = "127.0.0.1:26379"
    command = ["--head", "--port=26379", "--num-cpus=0", "--include-dashboard=false", "--ray-client-server-port=26380"]
    node = start_node(folder, environment, *command)
    try:
        yield address, environment
    finally:
        chaos_jobs.kill(*[pid for pid, _ in chaos_jobs.processes(node.pid)], node.pid)


def start_node(folder: Path, environment: dict[str, str], *arguments: str) -> subprocess.Popen:
    command = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--node-ip-address=127.0.0.1"]
    command += ["--object-store-memory=150000000", "--disable-usage-stats", *arguments]
    path = f"{chaos_jobs.REPOSITORY / 'tests' / 'support' / 'child'}:{chaos_jobs.REPOSITORY}"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment = {**inherited, **environment, "PYTHONPATH": path}
    with (folder / "node").open("ab") as log:
        node = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    while "Ray runtime started" not in (folder / "node").read_text():
        assert node.poll() is None, (folder / "node").read_text()
        time.sleep(0.1)
    return node


@pytest.mark.parametrize("seed", range(5))
def test_node(seed, archive, undisturbed, head, tmp_path, monkeypatch):
    address, environment = head
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    watched = {**environment, "CHAOS_FOLDER": str(tmp_path)}
    nodes = [start_node(tmp_path, watched, f"--address={address}", "--num-cpus=2") for _ in range(2)]
    try:
        chance = random.Random(200 + seed)
        process = chaos_jobs.start(
            "hash_archive", str(tmp_path / "store"), *archive, tmp_path, f"cluster.address={address}"
        )
        events = chance.randrange(undisturbed[1])
        wait_for(tmp_path, process, events)
        chaos_jobs.kill(*[pid for pid, _ in chaos_jobs.processes(nodes[0].pid)], nodes[0].pid)
        finish(process, archive, undisturbed, tmp_path, f"node after event {events} of {undisturbed[1]}")
    finally:
        for node in nodes:
            chaos_jobs.kill(*[pid for pid, _ in chaos_jobs.processes(node.pid)], node.pid)
            node.wait()
