"""The key of the S3 store on a cluster: the nodes hold it, and it is in none of Ray's answers and logs."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from support import chaos_jobs
from support.head_node import REPOSITORY, head_node
from support.s3_server import KEY, SECRET

pytestmark = [pytest.mark.slow, pytest.mark.ray]

ANSWERS = """
import sys
from ray.job_submission import JobSubmissionClient
from ray.util import state
client = JobSubmissionClient()
jobs = client.list_jobs()
print(jobs, *(client.get_job_info(job.submission_id) for job in jobs if job.submission_id))
print(*(client.get_job_logs(job.submission_id) for job in jobs if job.submission_id))
for what in ("actors", "tasks", "jobs", "nodes", "workers", "placement_groups", "objects", "runtime_envs"):
    print(what, getattr(state, f"list_{what}")(detail=True, limit=10000, raise_on_missing_output=False))
"""


@pytest.fixture
def ray_folder():
    """A short path: Ray's sockets lie below it."""
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    yield Path(folder)
    shutil.rmtree(folder, ignore_errors=True)


def everything_ray_says(environment: dict[str, str], ray_folder: Path) -> str:
    answers = subprocess.run(
        [sys.executable, "-c", ANSWERS], env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    logs = [path for path in ray_folder.rglob("*") if path.is_file() and "logs" in path.parts]
    assert len(logs) > 10
    return answers.stdout + "".join(path.read_text(errors="replace") for path in logs)


@pytest.mark.parametrize("forwarded", [False, True])
def test_the_secret_is_nowhere_unless_it_is_forwarded(s3_endpoint, s3_root, tmp_path, ray_folder, forwarded):
    manifest = chaos_jobs.write_archive(f"{s3_root}/archive", 60)
    credentials = tmp_path / "credentials"
    credentials.write_text(f"[default]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n")
    held = {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none" if forwarded else credentials)}
    with head_node(tmp_path, f"--temp-dir={ray_folder}", **held, AWS_EC2_METADATA_DISABLED="true") as environment:
        assert environment["AWS_SECRET_ACCESS_KEY"] == SECRET == os.environ["AWS_SECRET_ACCESS_KEY"]
        for job, *more in (["embed"], ["train", "train.epochs=2", "train.workers=1", "train.batch_size=8"]):
            settings = [f"store={s3_root}/store", f"archive.manifest={manifest}", *more]
            settings += ["cluster.forward_keys=true"] * forwarded
            done = subprocess.run(
                [sys.executable, "-m", "mcmfh.cli", "submit", job, *settings],
                cwd=REPOSITORY,
                env=environment,
                capture_output=True,
                text=True,
                timeout=300,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            assert ("can read them" in done.stderr) == forwarded
        assert (SECRET in everything_ray_says(environment, ray_folder)) == forwarded
