"""A job file → a running cluster: the same jobs/*.py, sent over Ray's Jobs API, its log followed, its exit code kept.

Only code travels (jobs/, mcmfh/, ray_config.yaml); archive and store are URIs that the cluster reaches.
"""

import asyncio
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from mcmfh import ray_session
from mcmfh.errors import InputError

JOBS = {
    "train": "train.py",
    "hash": "hash_archive.py",
    "embed": "embed.py",
    "pretrain": "pretrain.py",
    "evaluate": "evaluate.py",
}
_TRAVELS = ("jobs", "mcmfh", "ray_config.yaml", "pyproject.toml")
_STARTING = 60  # seconds


def submit(job: str, arguments: Sequence[str], address: str, checkout: Path) -> int:
    """Run `job` on the cluster whose Jobs API is at `address`, print its log as it comes, return its exit code.

    checkout: the folder that holds jobs/. Raises InputError for an unknown job, a missing checkout or an unreachable
    cluster.
    """
    if job not in JOBS:
        raise InputError(f"job '{job}' is not known; submit one of {', '.join(JOBS)}")
    if not (checkout / "jobs" / JOBS[job]).is_file():
        raise InputError(f"'{checkout}' holds no jobs/{JOBS[job]}; run mcmfh submit from a checkout of the repository")
    ray_session.prepare(local=False)
    from ray.job_submission import JobSubmissionClient

    try:
        client = JobSubmissionClient(address)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"no cluster answers at '{address}' ({reason}); start one, see cluster/README.md") from error
    command = ["python", f"jobs/{JOBS[job]}", *arguments, "cluster.address=auto"]
    forwarded = {name: os.environ[name] for name in ray_session.FORWARDED if name in os.environ}
    with tempfile.TemporaryDirectory() as folder:
        for name in _TRAVELS:
            source = checkout / name
            if source.is_dir():
                shutil.copytree(source, Path(folder) / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
            elif source.exists():
                shutil.copy(source, Path(folder) / name)
        environment = {"working_dir": folder, "env_vars": {"PYTHONPATH": ".", **forwarded}}
        number = _handed_over(client, shlex.join(command), environment)
    print(f"submitted {number}: {shlex.join(command)}", file=sys.stderr)
    asyncio.run(_follow(client, number))
    details = client.get_job_info(number)
    if details.driver_exit_code is not None:
        return int(details.driver_exit_code)
    return 0 if str(details.status) == "SUCCEEDED" else 1


def _handed_over(client, command: str, environment: dict) -> str:
    """The job's name. A cluster that has just started takes a while until it accepts jobs."""
    deadline = time.monotonic() + _STARTING
    while True:
        try:
            return client.submit_job(entrypoint=command, runtime_env=environment)
        except RuntimeError as error:
            if "No available agent" not in str(error):
                raise
            if time.monotonic() > deadline:
                raise InputError(
                    f"the cluster accepts no job within {_STARTING} s; see dashboard_agent.log of its head node"
                ) from error
            time.sleep(1)


async def _follow(client, number: str) -> None:
    async for text in client.tail_job_logs(number):
        print(text, end="", flush=True)
