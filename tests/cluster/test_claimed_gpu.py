"""Every stage asks for a GPU on a node that only claims to have one: what is scheduled is not where tensors are."""

import json
import subprocess
import sys

import pytest
from support import chaos_jobs
from support.head_node import REPOSITORY, head_node

from mcmfh.processes import free_port

ITEMS = 48
JOB = REPOSITORY / "tests" / "support" / "claimed_gpu.py"


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """What the stages said at the end."""
    folder = tmp_path_factory.mktemp("claimed")
    manifest = chaos_jobs.write_archive(f"file://{folder}/archive", ITEMS)
    settings = [f"store=file://{folder}/store", f"archive.manifest={manifest}", "embed.unit_items=16"]
    settings += ["encoder.device=cpu", "encoder.num_gpus=0.5", "train.device=cpu", "train.num_gpus=0.5"]
    settings += ["train.workers=2", "train.epochs=2", "train.batch_size=16", "train.min_steps=1"]
    settings += ["cluster.namespace=chest", "serve.num_gpus=0.25", f"serve.port={free_port()}"]
    with head_node(folder, "--num-gpus=1", light_encoder=True) as environment:
        job = subprocess.run(
            [sys.executable, str(JOB), *settings],
            env=environment,
            capture_output=True,
            text=True,
            timeout=400,
        )
    assert job.returncode == 0, job.stdout[-2000:] + job.stderr[-6000:]
    return json.loads(job.stdout.splitlines()[-1])


def test_every_stage_runs_with_tensors_on_the_cpu(done):
    assert done["device"] == "cpu"
    assert done["encoded"] == done["published"] == ITEMS - chaos_jobs.BROKEN
    assert done["hits"] == 3
    assert done["namespace"] == "chest"


def test_every_stage_asks_for_the_gpus_it_is_told_to(done):
    asked = done["asked"]
    assert {value for name, value in asked.items() if "MapWorker" in name} == {0.5}, asked
    assert {value for name, value in asked.items() if "RayTrainWorker" in name} == {0.5}, asked
    assert {value for name, value in asked.items() if name == "Endpoint"} == {0.25}, asked
    assert "1 GPUs" in done["expected"]
