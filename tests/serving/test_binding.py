"""An endpoint without keys listens on loopback alone, wherever its address comes from."""

import pytest

from mcmfh.config import KeyConfig, ServeConfig
from mcmfh.errors import InputError
from mcmfh.processes import free_port
from mcmfh.serving.binding import check_binding, check_here, check_start
from mcmfh.serving.keys import new_key

KEY = KeyConfig(name="ward", sha256=new_key()[1])


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "example.org"])
def test_no_key_no_way_in_from_outside(host):
    with pytest.raises(InputError, match="mcmfh key new"):
        check_binding(ServeConfig(host=host))
    check_binding(ServeConfig(host=host, keys=(KEY,)))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_loopback_needs_no_key(host):
    check_binding(ServeConfig(host=host))


@pytest.mark.parametrize("listening", ["0.0.0.0", "::", "192.168.0.7"])
def test_the_address_that_listens_counts_and_not_the_configured_one(listening):
    with pytest.raises(InputError, match="listens"):
        check_binding(ServeConfig(), listening)
    check_binding(ServeConfig(keys=(KEY,)), listening)
    check_binding(ServeConfig(host="127.0.0.1"), "127.0.0.1")


@pytest.mark.parametrize("content", ["", "[]", "# none yet\n", "null", "- {name: a, sha2"])
def test_an_endpoint_that_nobody_could_enter_is_not_started(tmp_path, content):
    file = tmp_path / "keys.yaml"
    file.write_text(content)
    with pytest.raises(InputError, match=r"keys\.yaml"):
        check_start(ServeConfig(keys_uri=str(file)))


def test_a_missing_haproxy_is_told_before_ray_starts(monkeypatch):
    monkeypatch.delenv("RAY_SERVE_ENABLE_HA_PROXY", raising=False)
    port = free_port()
    with pytest.raises(InputError, match=r"pip install 'mcmfh\[proxy\]'"):
        check_here(ServeConfig(port=port, keys=(KEY,)), lambda: None)
    check_here(ServeConfig(port=port, keys=(KEY,)), lambda: "/usr/sbin/haproxy")
    check_here(ServeConfig(port=port), lambda: None)
    monkeypatch.setenv("RAY_SERVE_ENABLE_HA_PROXY", "0")
    check_here(ServeConfig(port=port, keys=(KEY,)), lambda: None)
