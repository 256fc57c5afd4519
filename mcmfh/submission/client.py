"""The connection to a cluster's Jobs API."""

import logging
from typing import TYPE_CHECKING, Any

from mcmfh import ray_session
from mcmfh.errors import InputError

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

TIMEOUT_S = (10, 60)  # to connect, and for an answer: a connection may die without a sign


def job_client(address: str) -> "JobSubmissionClient":
    """A client of the Jobs API at `address`. Raises InputError where no cluster answers, or it refuses the token."""
    ray_session.prepare(local=False)
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    logging.getLogger("ray.dashboard").setLevel(logging.WARNING)  # it reports each upload and each lost connection

    class Client(JobSubmissionClient):
        def _do_request(self, *arguments: Any, **more: Any) -> Any:
            try:
                return super()._do_request(*arguments, **{"timeout": TIMEOUT_S, **more})
            except AuthenticationError as error:
                raise InputError(
                    f"the cluster at '{address}' refuses your token; copy ~/.ray/auth_token from its head node"
                ) from error

    try:
        return Client(address)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"no cluster answers at '{address}' ({reason}); start one, see cluster/README.md") from error
