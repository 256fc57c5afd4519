"""`mcmfh serve status | delete` on a scripted Serve; tests/cluster/test_serve_nodes.py asks a real one."""

import pytest

from mcmfh.errors import InputError
from mcmfh.serving.status import reason
from mcmfh.submission import delete_endpoint, endpoint_status

REPLICAS = [
    {"replica_id": "a1", "state": "RUNNING", "node_ip": "10.0.0.2"},
    {"replica_id": "b2", "state": "STARTING", "node_ip": None},
]


class Serve:
    def __init__(self, status: str | None = "RUNNING", message: str = "", others: tuple[str, ...] = ()):
        endpoint = {"status": "HEALTHY", "message": "", "replicas": REPLICAS}
        one = {"status": status, "message": message, "deployments": {"Endpoint": endpoint}}
        self.details = {
            "applications": {**({"mcmfh": one} if status else {}), **{name: {} for name in others}},
            "proxies": {"n1": {"status": "HEALTHY", "node_ip": "10.0.0.1"}},
            "http_options": {"port": 8123},
        }
        self.deleted = False

    def get_serve_details(self) -> dict:
        return self.details

    def delete_applications(self) -> None:
        self.deleted = True


def test_the_status_names_replicas_and_proxies_with_their_nodes():
    running, lines = endpoint_status(Serve())
    assert running
    assert lines == [
        "endpoint RUNNING",
        "Endpoint a1 RUNNING on 10.0.0.2",
        "Endpoint b2 STARTING on no node yet",
        "proxy HEALTHY on 10.0.0.1:8123",
    ]


@pytest.mark.parametrize("status", ["DEPLOYING", "DEPLOY_FAILED", "UNHEALTHY"])
def test_an_endpoint_that_does_not_run_has_a_reason(status):
    message = "Deploying failed:\nTraceback (most recent call last):\n  x\nmcmfh.errors.InputError: none; publish\n"
    running, lines = endpoint_status(Serve(status, message))
    assert (running, lines[0]) == (False, f"endpoint {status}: none; publish")


def test_without_an_endpoint_both_say_how_to_get_one():
    for command in (endpoint_status, delete_endpoint):
        with pytest.raises(InputError, match="mcmfh submit serve"):
            command(Serve(None, others=("theirs",)))


def test_the_endpoint_is_deleted_unless_others_would_end_with_it():
    alone, shared = Serve(), Serve(others=("theirs",))
    delete_endpoint(alone)
    assert alone.deleted
    with pytest.raises(InputError, match="theirs"):
        delete_endpoint(shared)
    assert not shared.deleted


@pytest.mark.parametrize(
    ("message", "said"), [("", "no reason"), ("one\n\n", "one"), ("a\n ValueError: b", "ValueError: b")]
)
def test_a_reason_is_one_line(message, said):
    assert said in reason(message)
    assert "\n" not in reason(message)
