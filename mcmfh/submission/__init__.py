"""Sends jobs to a cluster over Ray's Jobs API, and follows, lists and stops them."""

from mcmfh.submission.client import job_client
from mcmfh.submission.follow import STILL_RUNNING, follow
from mcmfh.submission.jobs import job_table, stop
from mcmfh.submission.submit import JOBS, submit

__all__ = ["JOBS", "STILL_RUNNING", "follow", "job_client", "job_table", "stop", "submit"]
