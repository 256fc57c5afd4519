"""Keys: only their hash is known, every request is counted, and without any the endpoint stays on loopback."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from mcmfh.cli import app
from mcmfh.config import KeyConfig, ServeConfig, load_config
from mcmfh.errors import InputError
from mcmfh.serving.access import Access, Refused, check_binding, configured_keys, new_key


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def key(name: str, rate: float = 50) -> tuple[str, KeyConfig]:
    secret, digest = new_key()
    return secret, KeyConfig(name=name, sha256=digest, requests_per_second=rate)


def test_a_key_opens_and_nothing_else_does():
    (first, one), (second, two) = key("ward"), key("lab")
    access = Access([one, two])
    assert access.admit(f"Bearer {first}") == "ward"
    assert access.admit(f"bearer {second}") == "lab"
    for header in (None, "", "Bearer", f"Basic {first}", f"Bearer {first}x", f"Bearer {one.sha256}", first):
        with pytest.raises(Refused) as refusal:
            access.admit(header)
        assert refusal.value.status == 401
        assert "WWW-Authenticate" in refusal.value.headers


@given(st.text(max_size=60))
def test_hostile_headers_are_refused(text):
    with pytest.raises(Refused):
        Access([key("ward")[1]]).admit(text)


def test_without_keys_anybody_may_ask():
    assert Access([]).admit(None) is None


@given(st.lists(st.floats(0, 0.7), min_size=1, max_size=60), st.floats(0.5, 20))
def test_never_more_requests_than_the_rate_allows(pauses, rate):
    clock = Clock()
    secret, one = key("ward", rate)
    access = Access([one], clock=clock)
    admitted, elapsed = 0, 0.0
    for pause in pauses:
        clock.now += pause
        elapsed += pause
        try:
            access.admit(f"Bearer {secret}")
            admitted += 1
        except Refused as refusal:
            assert refusal.status == 429
            assert int(refusal.headers["Retry-After"]) >= 1
        assert admitted <= max(1, rate) + elapsed * rate + 1e-6
    assert admitted >= 1


def test_waiting_as_told_is_enough_and_replicas_share_a_rate():
    clock = Clock()
    secret, one = key("ward", 4)
    access = Access([one], replicas=2, clock=clock)
    for _ in range(2):
        access.admit(f"Bearer {secret}")
    with pytest.raises(Refused) as refusal:
        access.admit(f"Bearer {secret}")
    clock.now += int(refusal.value.headers["Retry-After"])
    assert access.admit(f"Bearer {secret}") == "ward"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "example.org"])
def test_no_key_no_way_in_from_outside(host):
    with pytest.raises(InputError, match="mcmfh key new"):
        check_binding(ServeConfig(host=host), [])
    check_binding(ServeConfig(host=host), [key("ward")[1]])


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_loopback_needs_no_key(host):
    check_binding(ServeConfig(host=host), [])


def test_the_printed_line_lets_the_printed_key_in(tmp_path):
    printed = CliRunner().invoke(app, ["key", "new", "ward-3", "--requests-per-second", "7"]).output.splitlines()
    secret = printed[0].split()[-1]
    line = printed[1].partition(":   ")[2]
    file = tmp_path / "keys.yaml"
    file.write_text(line)
    by_file = configured_keys(ServeConfig(keys_uri=str(file)))
    by_config = configured_keys(load_config([f"serve.keys={yaml.safe_load(line)}"], read_default=False).serve)
    assert by_file == by_config
    assert by_file[0].requests_per_second == 7
    assert Access(by_file).admit(f"Bearer {secret}") == "ward-3"
    assert secret not in line


@pytest.mark.parametrize("content", ["secret", "- {name: a}", "[", "- {name: a, sha256: secret}"])
def test_a_broken_key_file_is_named_but_not_repeated(tmp_path, content):
    file = tmp_path / "keys.yaml"
    file.write_text(content)
    with pytest.raises(InputError, match=r"keys\.yaml") as error:
        configured_keys(ServeConfig(keys_uri=str(file)))
    assert "secret" not in str(error.value)


def test_key_faults_are_one_sentence():
    with pytest.raises(InputError, match="same name"):
        configured_keys(ServeConfig(keys=(key("a")[1], key("a")[1])))
    with pytest.raises(InputError, match=r"serve\.keys\.0\.rate.*requests_per_second"):
        load_config([f"serve.keys=[{{name: a, sha256: {'a' * 64}, rate: 1}}]"], read_default=False)
    with pytest.raises(InputError, match=r"serve\.keys\.0\.sha256") as error:
        load_config(["serve.keys=[{name: a, sha256: mcmfh_pasted}]"], read_default=False)
    assert "pasted" not in str(error.value)
    assert isinstance(CliRunner().invoke(app, ["key", "new", "a b"]).exception, InputError)
