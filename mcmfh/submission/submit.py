"""Runs one of jobs/*.py on a cluster: sends it over Ray's Jobs API, follows its log, returns its exit code.

Only code is uploaded (jobs/, mcmfh/, ray_config.yaml); the archive and the store are URIs that the cluster reaches.
"""

import os
import shlex
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcmfh import ray_session
from mcmfh.config import Config, load_config
from mcmfh.errors import InputError
from mcmfh.submission.client import job_client
from mcmfh.submission.follow import follow

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

JOBS = {
    "train": "train.py",
    "hash": "hash_archive.py",
    "embed": "embed.py",
    "pretrain": "pretrain.py",
    "evaluate": "evaluate.py",
    "serve": "serve.py",
}
_UPLOADED = ("jobs", "mcmfh", "ray_config.yaml", "pyproject.toml")
_START_S = 60


def submit(job: str, arguments: Sequence[str], address: str, checkout: Path) -> int:
    """The exit code of `job`, run on the cluster whose Jobs API is at `address`; its log is printed as it arrives.

    checkout: the folder that holds jobs/. STILL_RUNNING where the job is left running; see `follow`. Raises InputError
    for an unknown job, a missing checkout or an unreachable cluster.
    """
    if job not in JOBS:
        raise InputError(f"job '{job}' is not known; submit one of {', '.join(JOBS)}")
    if not (checkout / "jobs" / JOBS[job]).is_file():
        raise InputError(f"'{checkout}' holds no jobs/{JOBS[job]}; run mcmfh submit from a checkout of the repository")
    client = job_client(address)
    command = shlex.join(["python", f"jobs/{JOBS[job]}", *arguments, "cluster.address=auto"])
    settings = own_settings(arguments)
    if not settings.cluster.forward_keys and ray_session.KEYS[0] in os.environ:
        print(
            "your AWS keys stay here; the nodes need an identity of their own, see cluster/README.md", file=sys.stderr
        )
    variables = ray_session.forwarded(settings.cluster.forward_keys)
    archive = settings.archive.name
    name = f"{archive}-{job}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{uuid.uuid4().hex[:6]}"
    with tempfile.TemporaryDirectory() as folder:
        for part in _UPLOADED:
            source = checkout / part
            if source.is_dir():
                shutil.copytree(source, Path(folder) / part, ignore=shutil.ignore_patterns("__pycache__", ".*"))
            elif source.exists():
                shutil.copy(source, Path(folder) / part)
        send(
            client,
            name,
            entrypoint=command,
            runtime_env={"working_dir": folder, "env_vars": {"PYTHONPATH": ".", **variables}},
            metadata={"stage": job, "archive": archive},
        )
    print(f"submitted {name}: {command}", file=sys.stderr)
    return follow(client, name)


def own_settings(arguments: Sequence[str]) -> Config:
    """What submitting itself depends on. Everything else is the job's, whose --config may lie on the cluster alone."""
    own = ("archive.name=", "cluster.forward_keys=")
    try:
        return load_config([argument for argument in arguments if argument.startswith(own)])
    except InputError:  # the job itself says what is wrong
        return Config()


def send(client: "JobSubmissionClient", name: str, start_s: float = _START_S, pause_s: float = 1, **job: Any) -> None:
    """Submit a job by the name `name`, once, also where the answer is lost and it is sent again.

    Waits up to `start_s` for a cluster that has just started until it accepts jobs. Raises InputError where none does.
    """
    deadline, lost = time.monotonic() + start_s, False
    while True:
        try:
            client.submit_job(submission_id=name, **job)
        except (OSError, RuntimeError) as error:
            if lost and "already exists" in str(error):
                return
            lost |= isinstance(error, OSError)
            if not isinstance(error, OSError) and "No available agent" not in str(error):
                raise
            if time.monotonic() > deadline:
                raise InputError(
                    f"the cluster accepts no job within {start_s:.0f} s ({' '.join(str(error).split())}); "
                    "see dashboard_agent.log of its head node"
                ) from error
            time.sleep(pause_s)
        else:
            return
