"""Ray's environment: set before Ray starts, what the user set is kept, and no key means no fast proxy."""

import ast
import os
import socket
import stat
from pathlib import Path

import pytest

from mcmfh import ray_session
from mcmfh.errors import InputError

HAPROXY = "RAY_SERVE_ENABLE_HA_PROXY"
ROOT = Path(__file__).parent.parent


def test_the_fast_proxy_is_set_only_where_asked_for():
    assert HAPROXY not in ray_session.defaults(local=True, fast_proxy=False)
    for local in (True, False):
        assert ray_session.defaults(local, fast_proxy=True)[HAPROXY] == "1"


def test_the_environment_cannot_be_set_after_ray_was_imported():
    import ray  # noqa: F401

    environment: dict[str, str] = {}
    with pytest.raises(RuntimeError, match="imported before"):
        ray_session.prepare(local=True, environment=environment)
    assert environment == {}


def test_what_the_user_set_is_kept():
    environment = {**ray_session.defaults(local=True, fast_proxy=True), HAPROXY: "0", "OPENBLAS_NUM_THREADS": "8"}
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
    assert named <= {("mcmfh/cli/cluster.py", "RAY_API_SERVER_ADDRESS")}


def test_the_object_store_is_small_where_nothing_waits_for_a_gpu(tmp_path):
    """Pictures of several units wait in it, one a core: a GPU would starve on 400 MB."""
    assert ray_session.object_store_bytes(None, tmp_path) == 400 * 2**20
    (tmp_path / "nvidiactl").touch()
    assert ray_session.object_store_bytes(None, tmp_path) == 400 * 2**20
    (tmp_path / "nvidia0").touch()
    assert ray_session.object_store_bytes(None, tmp_path) is None
    assert ray_session.object_store_bytes(300, tmp_path) == 300 * 2**20


SECRETS = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "s3cret", "AWS_SESSION_TOKEN": "t0ken"}


def test_keys_go_with_a_job_only_where_asked_for_and_with_a_warning(caplog):
    environment = {**SECRETS, "AWS_REGION": "eu-central-1", "AWS_ENDPOINT_URL": "https://s3", "MCMFH_KEY": "k"}
    assert ray_session.forwarded(False, environment) == {"AWS_REGION": "eu-central-1", "AWS_ENDPOINT_URL": "https://s3"}
    assert not caplog.records
    with_keys = ray_session.forwarded(True, environment)
    assert with_keys == {name: value for name, value in environment.items() if name != "MCMFH_KEY"}
    assert "AWS_SECRET_ACCESS_KEY" in caplog.text
    assert not any(secret in caplog.text for secret in SECRETS.values())


def test_the_metadata_service_is_left_out_only_where_keys_are_present():
    """It holds a machine's identity where there are none."""
    for environment, expected in (({}, False), (SECRETS, True), ({"AWS_PROFILE": "hospital"}, False)):
        environment = dict(environment)
        defaults = ray_session.defaults(True, False, environment)
        assert ("AWS_EC2_METADATA_DISABLED" in defaults) == expected


def test_an_identity_that_the_nodes_hold_is_not_switched_off():
    assert "AWS_EC2_METADATA_DISABLED" not in ray_session.forwarded(False, {"AWS_EC2_METADATA_DISABLED": "true"})


def test_a_ray_that_does_not_start_is_told_in_one_line():
    from ray.exceptions import RaySystemError

    faults = [
        RuntimeError("The node did not come up.\nThe GCS did not answer"),
        Exception("The current node timed out during startup. This could happen because the raylet failed"),
        RaySystemError("System error: Broken pipe"),
        TimeoutError("Timed out after 30 seconds while waiting for node to startup."),
        ConnectionError(),
    ]
    for fault in faults:
        with pytest.raises(InputError) as raised, ray_session._told_in_one_line("this machine"):
            raise fault
        assert "Ray did not start on this machine (" in str(raised.value)
        assert "\n" not in str(raised.value)
    absent = r"Ray at 'ray.hospital:6379' cannot be joined \(no route\)"
    with pytest.raises(InputError, match=absent), ray_session._told_in_one_line("ray.hospital:6379"):
        raise ConnectionError("no route")
    with pytest.raises(TypeError), ray_session._told_in_one_line("this machine"):
        raise TypeError("a fault of this program")


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://localhost:{}", "[::1]:{}", "no-such-host.invalid:{}"])
def test_a_cluster_that_does_not_listen_is_told_at_once(form):
    """Ray tries for minutes, and prints a warning every few seconds."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = form.format(free.getsockname()[1])  # bound, and not listening
        with pytest.raises(InputError, match="cannot be joined"):
            ray_session.check_reachable(address)


def test_a_cluster_that_listens_may_be_joined():
    with socket.create_server(("127.0.0.1", 0)) as server:
        ray_session.check_reachable(f"127.0.0.1:{server.getsockname()[1]}")
    ray_session.check_reachable("auto")


def test_ray_s_token_and_files_are_private(tmp_path, monkeypatch):
    token = tmp_path / "auth_token"
    token.write_text("secret")
    token.chmod(0o644)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
    before = os.umask(0o022)
    try:
        with ray_session._private_files():
            (tmp_path / "log").write_text("x")
        (tmp_path / "after").write_text("x")
    finally:
        os.umask(before)
    rights = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert rights == {"auth_token": 0o600, "log": 0o600, "after": 0o644}
