"""Runs one of jobs/*.py on a cluster: sends it over Ray's Jobs API, follows its log, returns its exit code.

Only code is uploaded (jobs/, mcmfh/, ray_config.yaml); the archive and the store are URIs that the cluster reaches.
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
from typing import TYPE_CHECKING, Any

from mcmfh import ray_session
from mcmfh.errors import InputError

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

JOBS = {
    "train": "train.py",
    "hash": "hash_archive.py",
    "embed": "embed.py",
    "pretrain": "pretrain.py",
    "evaluate": "evaluate.py",
}
_UPLOADED = ("jobs", "mcmfh", "ray_config.yaml", "pyproject.toml")
_START_S = 60


def submit(job: str, arguments: Sequence[str], address: str, checkout: Path) -> int:
    """The exit code of `job`, run on the cluster whose Jobs API is at `address`; its log is printed as it arrives.

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
        for part in _UPLOADED:
            source = checkout / part
            if source.is_dir():
                shutil.copytree(source, Path(folder) / part, ignore=shutil.ignore_patterns("__pycache__", ".*"))
            elif source.exists():
                shutil.copy(source, Path(folder) / part)
        environment = {"working_dir": folder, "env_vars": {"PYTHONPATH": ".", **forwarded}}
        name = _submit(client, shlex.join(command), environment)
    print(f"submitted {name}: {shlex.join(command)}", file=sys.stderr)
    asyncio.run(_print_log(client, name))
    details = client.get_job_info(name)
    if details.driver_exit_code is not None:
        return int(details.driver_exit_code)
    return 0 if str(details.status) == "SUCCEEDED" else 1


def _submit(client: "JobSubmissionClient", command: str, environment: dict[str, Any]) -> str:
    """The name of the submitted job. Waits for a cluster that has just started until it accepts jobs."""
    deadline = time.monotonic() + _START_S
    while True:
        try:
            return str(client.submit_job(entrypoint=command, runtime_env=environment))
        except RuntimeError as error:
            if "No available agent" not in str(error):
                raise
            if time.monotonic() > deadline:
                raise InputError(
                    f"the cluster accepts no job within {_START_S} s; see dashboard_agent.log of its head node"
                ) from error
            time.sleep(1)


async def _print_log(client: "JobSubmissionClient", name: str) -> None:
    async for text in client.tail_job_logs(name):
        print(text, end="", flush=True)
