"""Requests with a key are admitted and counted, all others refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcmfh.config import KeyConfig
from mcmfh.serving.access import Access, Refused
from mcmfh.serving.keys import new_key


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def key(name: str, rate: float = 50) -> tuple[str, KeyConfig]:
    secret, digest = new_key()
    return secret, KeyConfig(name=name, sha256=digest, requests_per_second=rate)


def test_a_key_opens_and_nothing_else_does():
    (first, one), (second, two) = key("ward"), key("lab")
    access = Access(lambda: [one, two])
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
        Access(lambda: [key("ward")[1]]).admit(text)


def test_without_keys_anybody_may_ask_and_with_an_empty_list_nobody():
    assert Access(lambda: None).admit(None) is None
    for header in (None, "", f"Bearer {key('ward')[0]}"):
        with pytest.raises(Refused) as refusal:
            Access(lambda: []).admit(header)
        assert refusal.value.status == 401


def test_a_changed_rate_holds_and_an_unchanged_one_is_not_refilled():
    clock = Clock()
    secret, one = key("ward", 2)
    keys = [one]
    access = Access(lambda: keys, clock=clock)
    for _ in range(2):
        access.admit(f"Bearer {secret}")
    keys = [one.model_copy()]  # read again
    with pytest.raises(Refused, match="too many"):
        access.admit(f"Bearer {secret}")
    keys = [one.model_copy(update={"requests_per_second": 5})]
    for _ in range(5):
        access.admit(f"Bearer {secret}")
    with pytest.raises(Refused, match="too many"):
        access.admit(f"Bearer {secret}")


@given(st.lists(st.floats(0, 0.7), min_size=1, max_size=60), st.floats(0.5, 20))
def test_never_more_requests_than_the_rate_allows(pauses, rate):
    clock = Clock()
    secret, one = key("ward", rate)
    access = Access(lambda: [one], clock=clock)
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
    access = Access(lambda: [one], replicas=2, clock=clock)
    for _ in range(2):
        access.admit(f"Bearer {secret}")
    with pytest.raises(Refused) as refusal:
        access.admit(f"Bearer {secret}")
    clock.now += int(refusal.value.headers["Retry-After"])
    assert access.admit(f"Bearer {secret}") == "ward"
