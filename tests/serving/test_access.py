"""Requests with a key are admitted and counted, all others refused."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcmfh.config import KeyConfig
from mcmfh.serving.access import Access, Refused
from mcmfh.serving.keys import new_key
from mcmfh.serving.quotas import Quotas, seconds_left


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


def admitted(access: Access, authorization: str) -> str | None:
    return asyncio.run(access.admit(authorization)).name


class Day:
    """A clock of days."""

    now = datetime(2026, 3, 1, 23, 59, 50, tzinfo=UTC)

    def __call__(self):
        return self.now


def test_a_key_opens_until_it_expires():
    day = Day()
    secret, one = key("ward")
    for expires in (day.now + timedelta(seconds=1), datetime(2026, 3, 2)):  # without a zone: UTC
        one = KeyConfig.model_validate({**one.model_dump(), "expires": expires})
        access = Access(lambda one=one: [one], now=day)
        day.now = one.expires - timedelta(seconds=1)
        assert admitted(access, f"Bearer {secret}") == "ward"
        day.now = one.expires
        with pytest.raises(Refused, match="expired") as refusal:
            admitted(access, f"Bearer {secret}")
        assert refusal.value.status == 401


def test_a_key_of_another_archive_opens_nothing_here():
    secret, one = key("ward")
    access = Access(lambda: [one.model_copy(update={"archives": ("heads", "chests")})], archives=("chests",))
    assert admitted(access, f"Bearer {secret}") == "ward"
    for archives in (("heads",), ()):
        elsewhere = one.model_copy(update={"archives": archives})
        with pytest.raises(Refused, match="not among the archives") as refusal:
            admitted(Access(lambda elsewhere=elsewhere: [elsewhere], archives=("chests",)), f"Bearer {secret}")
        assert refusal.value.status == 403


def test_a_day_has_so_many_requests_and_the_next_as_many():
    day = Day()
    secret, one = key("ward")
    access = Access(lambda: [one.model_copy(update={"requests_per_day": 3})], now=day)
    for _ in range(2):
        for _ in range(3):
            admitted(access, f"Bearer {secret}")
        with pytest.raises(Refused, match="3 requests of this day") as refusal:
            admitted(access, f"Bearer {secret}")
        assert refusal.value.status == 429
        assert int(refusal.value.headers["Retry-After"]) == 11
        day.now += timedelta(seconds=int(refusal.value.headers["Retry-After"]))
        day.now = day.now.replace(hour=23, minute=59, second=50)
    assert seconds_left(datetime(2026, 12, 31, 0, 0, 0, tzinfo=UTC)) == 24 * 3600 + 1


def test_replicas_share_the_counts_of_a_day_and_a_new_one_takes_them_over(tmp_path):
    root, day = f"file://{tmp_path}/archives/a", Day()
    one, two = Quotas(root, now=day), Quotas(root, now=day)
    assert sum(one.take("ward", 10) for _ in range(6)) == 6
    for replica in (one, two):
        replica.share()
    assert sum(two.take("ward", 10) for _ in range(6)) == 4
    assert two.take("lab", 1)
    two.share()
    one.share()
    assert not one.take("ward", 10)
    assert not one.take("lab", 1)
    for first, second in ((one, two), (two, one)):  # what is counted later is told, too
        assert first.take("lab", 3)
        for replica in (first, second):
            replica.share()
    assert not one.take("lab", 3)
    assert not two.take("lab", 3)
    fresh = Quotas(root, now=day)
    fresh.share()
    assert not fresh.take("ward", 10)
    day.now += timedelta(days=30)
    assert one.take("ward", 10)
    one.share()
    assert [path.name for path in (tmp_path / "archives/a/usage").iterdir()] == ["2026-03-31"]


@pytest.mark.parametrize("damage", [b"", b"{", b"[1]", b'{"ward": "many"}', b"[" * 100_000, None])
def test_a_damaged_file_of_one_replica_hides_not_what_the_others_counted(tmp_path, damage):
    root, day, events = f"file://{tmp_path}/archives/a", Day(), []
    first, second = Quotas(root, now=day), Quotas(root, now=day)
    for replica in (first, second):
        assert sum(replica.take("ward", 10) for _ in range(4)) == 4
        replica.share()
    damaged = tmp_path / "archives/a/usage/2026-03-01" / f"{first.replica}.json"
    assert damaged.exists()
    damaged.unlink()
    damaged.mkdir() if damage is None else damaged.write_bytes(damage)
    fresh = Quotas(root, report=lambda event, fields: events.append(event), now=day)
    fresh.share()
    assert sum(fresh.take("ward", 10) for _ in range(10)) == 6
    assert events == ["quotas_failed"]


def test_without_its_store_a_replica_counts_on(tmp_path):
    (tmp_path / "archives").write_text("no folder")
    events = []
    quotas = Quotas(f"file://{tmp_path}/archives/a", report=lambda event, fields: events.append(event))
    assert [quotas.take("ward", 2) for _ in range(3)] == [True, True, False]
    quotas.stop()
    assert events == ["quotas_failed"]
