"""Requests with a key are admitted and counted, all others refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcmfh.config import KeyConfig
from mcmfh.serving.access import Access, Refused
from mcmfh.serving.keys import new_key


def key(name: str) -> tuple[str, KeyConfig]:
    secret, digest = new_key()
    return secret, KeyConfig(name=name, sha256=digest)


def test_a_key_opens_and_nothing_else_does():
    (first, one), (second, two) = key("ward"), key("lab")
    access = Access(lambda: [one, two])
    assert access.identify(f"Bearer {first}") == one
    assert access.identify(f"bearer {second}") == two
    for header in (None, "", "Bearer", f"Basic {first}", f"Bearer {first}x", f"Bearer {one.sha256}", first):
        with pytest.raises(Refused) as refusal:
            access.identify(header)
        assert refusal.value.status == 401
        assert "WWW-Authenticate" in refusal.value.headers


@given(st.text(max_size=60))
def test_hostile_headers_are_refused(text):
    with pytest.raises(Refused):
        Access(lambda: [key("ward")[1]]).identify(text)


def test_without_keys_anybody_may_ask_and_with_an_empty_list_nobody():
    assert Access(lambda: None).identify(None) is None
    for header in (None, "", f"Bearer {key('ward')[0]}"):
        with pytest.raises(Refused) as refusal:
            Access(lambda: []).identify(header)
        assert refusal.value.status == 401
