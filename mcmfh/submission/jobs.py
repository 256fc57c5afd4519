"""The jobs of a cluster: what they are and how they stand, and how to end one."""

import time
from typing import TYPE_CHECKING

from mcmfh.errors import InputError

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

COLUMNS = ("job", "stage", "archive", "status", "started", "minutes")


def job_table(client: "JobSubmissionClient") -> list[tuple[str, ...]]:
    """The names of the columns, then a row for each submitted job, the newest first. Times are UTC."""
    rows: list[tuple[str, ...]] = [COLUMNS]
    for job in sorted(client.list_jobs(), key=lambda job: -(job.start_time or 0)):
        if job.submission_id is None:  # a driver that joined the cluster by itself
            continue
        about, began = job.metadata or {}, (job.start_time or 0) / 1000
        minutes = ((job.end_time or 1000 * time.time()) / 1000 - began) / 60
        started = time.strftime("%Y-%m-%d %H:%M", time.gmtime(began))
        labels = (about.get("stage", ""), about.get("archive", ""))
        rows.append((job.submission_id, *labels, str(job.status), started, f"{minutes:.1f}"))
    return rows


def stop(client: "JobSubmissionClient", name: str) -> bool:
    """Ask the cluster to end job `name`; False where it had ended. Raises InputError where there is no such job."""
    try:
        return bool(client.stop_job(name))
    except RuntimeError as error:
        if "does not exist" in str(error):
            raise InputError(f"the cluster knows no job '{name}'; mcmfh jobs list shows its jobs") from error
        raise
