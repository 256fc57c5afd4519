"""A key's rate holds for the endpoint as a whole, however its requests are spread over replicas."""

import asyncio
import json
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.serve_job import serve_job

from mcmfh.config import KeyConfig
from mcmfh.processes import free_port
from mcmfh.serving.access import Access, Refused
from mcmfh.serving.keys import new_key
from mcmfh.serving.rates import HOLDS_S, PAUSE_S, Buckets, Leases


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


class Endpoint:
    """Replicas that share buckets, without processes in between."""

    def __init__(self, replicas: int, most: int | None = None):
        self.clock, self.reachable = Clock(), True
        self.buckets = Buckets(self.clock)
        self.replicas = [Leases(self.lease, most or replicas, self.clock) for _ in range(replicas)]

    async def lease(self, name, rate, most):
        await asyncio.sleep(0)
        if not self.reachable:
            raise ConnectionError("gone")
        return await self.buckets.lease(name, rate, most)

    async def admitted(self, rate: float, offered: float, seconds: float, weights=None, random=True) -> int:
        """How many of `offered` requests a second get through to random replicas, at random times or evenly spaced."""
        rng, end, count = np.random.default_rng(0), self.clock.now + seconds, 0
        while (pause := rng.exponential(1 / offered) if random else 1 / offered) + self.clock.now < end:
            self.clock.now += pause
            replica = self.replicas[rng.choice(len(self.replicas), p=weights)]
            count += not await replica.take("ward", rate)
        self.clock.now = end
        return count


@pytest.mark.parametrize("replicas", [1, 2, 3, 5, 8])
@pytest.mark.parametrize(("rate", "times"), [(1, 5), (2, 2), (2, 30), (20, 1.2), (50, 10), (300, 3)])
def test_the_endpoint_admits_what_the_rate_says_over_30_seconds(replicas, rate, times):
    admitted = asyncio.run(Endpoint(replicas).admitted(rate, rate * times, 30, random=times > 2))
    assert 0.9 * 30 * rate <= admitted <= 1.1 * 30 * rate


@pytest.mark.parametrize("most", [2, 8])
def test_replicas_that_do_not_run_and_uneven_loads_take_nothing_away(most):
    admitted = asyncio.run(Endpoint(2, most).admitted(20, 200, 30, weights=[0.95, 0.05]))
    assert 0.9 * 600 <= admitted <= 1.1 * 600


@pytest.mark.parametrize("replicas", [1, 2, 8])
@pytest.mark.parametrize("share", [0.55, 0.9])
def test_a_key_that_stays_below_its_rate_is_never_refused(replicas, share):
    """A key of 2/s was refused at 1.1/s where there were two replicas."""
    endpoint = Endpoint(replicas)

    async def evenly() -> int:
        refused = 0
        for n in range(200):
            endpoint.clock.now += 1 / (2 * share)
            refused += bool(await endpoint.replicas[n % replicas].take("ward", 2))
        return refused

    assert asyncio.run(evenly()) == 0


def test_requests_at_once_are_served_from_one_lot():
    endpoint = Endpoint(4)

    async def at_once():
        return await asyncio.gather(*(r.take("ward", 40) for r in endpoint.replicas for _ in range(25)))

    waits = asyncio.run(at_once())
    assert sum(wait == 0 for wait in waits) == 80
    assert all(0 <= wait < 1 / 40 + 1e-6 for wait in waits)


def test_a_lost_bucket_leaves_each_replica_its_share_until_it_is_back():
    endpoint = Endpoint(4)
    asyncio.run(endpoint.admitted(20, 100, 10))
    endpoint.reachable = False
    assert asyncio.run(endpoint.admitted(20, 200, 60)) <= 1.1 * 60 * 20
    endpoint.reachable = True
    endpoint.clock.now += PAUSE_S
    assert 0.9 * 600 <= asyncio.run(endpoint.admitted(20, 200, 30)) <= 1.1 * 600


def test_a_bucket_that_hangs_delays_one_request_only():
    async def hang(name, rate, most):
        await asyncio.sleep(3600)

    leases = Leases(hang, 2)

    async def five() -> list[float]:
        return [await leases.take("ward", 100) for _ in range(5)]

    assert asyncio.run(asyncio.wait_for(five(), 30)) == [0.0] * 5


def test_a_changed_rate_holds_at_once_and_refills_nothing():
    """Replicas read a changed key file one after the other: in between the rate alternates."""
    endpoint = Endpoint(2)

    async def alternating() -> int:
        count = 0
        for n in range(1000):
            endpoint.clock.now += 0.01
            count += not await endpoint.replicas[n % 2].take("ward", (5, 2)[n % 2])
        return count

    assert asyncio.run(alternating()) <= 2 * 5 + 10 * 5
    endpoint.clock.now += 10
    assert 0.9 * 60 <= asyncio.run(endpoint.admitted(2, 20, 30)) <= 1.1 * 60


def admission(rate: float, clock: Clock):
    secret, digest = new_key()
    keys = [KeyConfig(name="ward", sha256=digest, requests_per_second=rate)]
    access = Access(lambda: keys, Leases(Buckets(clock).lease, clock=clock))
    return lambda: asyncio.run(access.admit(f"Bearer {secret}"))


@given(st.lists(st.floats(0, 0.7), min_size=1, max_size=60), st.floats(0.5, 20))
def test_never_more_requests_than_the_rate_allows(pauses, rate):
    clock = Clock()
    admit = admission(rate, clock)
    admitted, elapsed = 0, 0.0
    for pause in pauses:
        clock.now += pause
        elapsed += pause
        try:
            admit()
            admitted += 1
        except Refused as refusal:
            assert refusal.status == 429
            assert int(refusal.headers["Retry-After"]) >= 1
        assert admitted <= max(1, HOLDS_S * rate) + elapsed * rate + 1e-6
    assert admitted >= 1


@given(st.floats(0.2, 30), st.integers(1, 8))
def test_waiting_as_told_is_enough(rate, already):
    clock = Clock()
    admit = admission(rate, clock)
    for _ in range(already):
        try:
            admit()
        except Refused as refusal:
            clock.now += int(refusal.headers["Retry-After"])
            assert admit().name == "ward"


@pytest.mark.ray
@pytest.mark.slow
def test_two_replicas_of_at_most_eight_admit_what_the_rate_says(archive, tmp_path):
    """It was an eighth of the rate."""
    keys = {name: (rate, *new_key()) for name, rate in (("desk", 2), ("ward", 40))}
    lines = [{"name": name, "sha256": digest, "requests_per_second": rate} for name, (rate, _, digest) in keys.items()]

    def admitted(url: str, rate: float, secret: str) -> int:
        """Of 1.5 times the rate, over 30 s."""
        began, count = time.monotonic(), 0
        for n in range(int(30 * 1.5 * rate)):
            time.sleep(max(0.0, began + n / (1.5 * rate) - time.monotonic()))
            request = urllib.request.Request(f"{url}/v1/version", headers={"Authorization": f"Bearer {secret}"})
            try:
                with urllib.request.urlopen(request, timeout=30):
                    count += 1
            except urllib.error.HTTPError as error:
                assert error.code == 429
        assert time.monotonic() - began < 33, "the client was too slow to say anything"
        return count

    settings = {"replicas": 2, "max_replicas": 8, "target_ongoing_requests": 1000}
    with serve_job(archive, tmp_path, port=free_port(), keys=json.dumps(lines), **settings) as (_, url):
        with ThreadPoolExecutor() as threads:
            counts = {name: threads.submit(admitted, url, rate, secret) for name, (rate, secret, _) in keys.items()}
        for name, (rate, *_) in keys.items():
            assert 0.9 * 30 * rate <= counts[name].result() <= 1.1 * 30 * rate
