"""Sends jobs to a cluster over Ray's Jobs API, follows, lists and stops them; shows and deletes its endpoint."""

from mcmfh.submission.client import job_client, serve_client
from mcmfh.submission.endpoint import delete_endpoint, endpoint_status
from mcmfh.submission.follow import STILL_RUNNING, follow
from mcmfh.submission.jobs import job_table, stop
from mcmfh.submission.submit import JOBS, submit

__all__ = [
    "JOBS",
    "STILL_RUNNING",
    "delete_endpoint",
    "endpoint_status",
    "follow",
    "job_client",
    "job_table",
    "serve_client",
    "stop",
    "submit",
]
