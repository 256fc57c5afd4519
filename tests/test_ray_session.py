"""Ray's environment: set before Ray starts, what the user set is kept, and no key means no fast proxy."""

import ast
from pathlib import Path

import pytest

from mcmfh import ray_session
from mcmfh.errors import InputError

HAPROXY = "RAY_SERVE_ENABLE_HA_PROXY"
PREPARED = {**ray_session.ENVIRONMENT, **ray_session.LOCAL_ENVIRONMENT}
ROOT = Path(__file__).parent.parent


def prepared(monkeypatch, **arguments) -> dict[str, str]:
    """An empty environment after `prepare`, as in a process that has not imported Ray."""
    environment: dict[str, str] = {}
    monkeypatch.delitem(ray_session.sys.modules, "ray", raising=False)
    ray_session.prepare(environment=environment, **arguments)
    return environment


def test_the_fast_proxy_is_set_only_where_asked_for(monkeypatch):
    assert HAPROXY not in prepared(monkeypatch, local=True)
    assert prepared(monkeypatch, local=True, fast_proxy=True)[HAPROXY] == "1"
    assert prepared(monkeypatch, local=False, fast_proxy=True).keys() >= ray_session.FAST_PROXY_ENVIRONMENT.keys()


def test_what_the_user_set_is_kept():
    environment = {**PREPARED, **ray_session.FAST_PROXY_ENVIRONMENT, HAPROXY: "0", "OPENBLAS_NUM_THREADS": "8"}
    before = dict(environment)
    ray_session.prepare(local=True, fast_proxy=True, environment=environment)
    assert environment == before


def test_no_key_no_fast_proxy():
    ray_session.check_proxy(guarded=False, environment={})
    ray_session.check_proxy(guarded=False, environment={HAPROXY: "0"})
    ray_session.check_proxy(guarded=True, environment={HAPROXY: "1"})
    with pytest.raises(InputError, match=f"{HAPROXY}.*mcmfh key new"):
        ray_session.check_proxy(guarded=False, environment={HAPROXY: "1"})


def test_ray_s_variables_are_named_nowhere_else():
    """Only ray_session writes Ray's variables; the command line may read the address of a cluster."""
    named = {
        (str(path.relative_to(ROOT)), node.value)
        for folder in ("mcmfh", "jobs")
        for path in (ROOT / folder).rglob("*.py")
        if path.stem != "ray_session"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("RAY_")
    }
    assert named <= {("mcmfh/cli.py", "RAY_API_SERVER_ADDRESS")}
