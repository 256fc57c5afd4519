"""The endpoint of a cluster, whose job has long ended: how it stands, and how it is taken down."""

from typing import TYPE_CHECKING, Any

from mcmfh.errors import InputError
from mcmfh.serving.status import described

if TYPE_CHECKING:
    from ray.dashboard.modules.serve.sdk import ServeSubmissionClient

APPLICATION = "mcmfh"


def endpoint_status(client: "ServeSubmissionClient") -> tuple[bool, list[str]]:
    """(whether the endpoint runs, its status line by line). Raises InputError where there is none."""
    details = client.get_serve_details()
    application = _endpoint(details)
    lines = described(application, details["proxies"], details["http_options"]["port"])
    return application["status"] == "RUNNING", lines


def delete_endpoint(client: "ServeSubmissionClient") -> None:
    """Take the endpoint and the cluster's proxies down. Requests in flight have serve.drain_seconds to finish.

    Raises InputError where there is no endpoint, or where it shares Serve with other applications.
    """
    details = client.get_serve_details()
    _endpoint(details)
    if others := sorted(set(details["applications"]) - {APPLICATION}):
        raise InputError(
            f"Ray Serve also runs {', '.join(others)} on this cluster, and would end as a whole; delete the endpoint "
            f"alone by a job: ray job submit -- python -c \"from ray import serve; serve.delete('{APPLICATION}')\""
        )
    client.delete_applications()  # type: ignore[no-untyped-call]


def _endpoint(details: dict[str, Any]) -> dict[str, Any]:
    application: dict[str, Any] | None = details["applications"].get(APPLICATION)
    if application is None:
        raise InputError("no endpoint runs on this cluster; deploy one with mcmfh submit serve")
    return application
