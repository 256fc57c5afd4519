"""The connections to a cluster's Jobs API, at whose address Ray Serve answers too."""

import logging
from typing import TYPE_CHECKING, Any

from mcmfh import ray_session
from mcmfh.errors import InputError

if TYPE_CHECKING:
    from ray.dashboard.modules.serve.sdk import ServeSubmissionClient
    from ray.job_submission import JobSubmissionClient

TIMEOUT_S = (10, 60)  # to connect, and for an answer: a connection may die without a sign


def job_client(address: str) -> "JobSubmissionClient":
    """A client of the Jobs API at `address`. Raises InputError where no cluster answers, or it refuses the token."""
    ray_session.prepare(local=False)
    from ray.job_submission import JobSubmissionClient

    client: JobSubmissionClient = _client(JobSubmissionClient, address)
    return client


def serve_client(address: str) -> "ServeSubmissionClient":
    """A client of Ray Serve at the address of the Jobs API. Raises InputError as `job_client` does."""
    ray_session.prepare(local=False)
    from ray.dashboard.modules.serve.sdk import ServeSubmissionClient

    client: ServeSubmissionClient = _client(ServeSubmissionClient, address)
    return client


def _client(kind: Any, address: str) -> Any:
    from ray.exceptions import AuthenticationError

    logging.getLogger("ray.dashboard").setLevel(logging.WARNING)  # it reports each upload and each lost connection

    class Client(kind):  # type: ignore[misc]
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
