"""How often a key may send requests: a token bucket for each key, one for the whole endpoint.

Where several replicas answer, `Buckets` is in a process of its own, and each replica takes tokens from there in small
lots (`Leases`), so that most requests cost no call. What a key may do depends neither on the number of replicas nor on
how requests are spread over them. While the buckets cannot be asked, a replica allows its share of the rate.

Tokens that a replica holds are at most LOT_S seconds' worth of the rate, over all replicas together.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

LOT_S = 0.2
# Over 30 s a full bucket adds 7 % to the rate. A smaller one would refuse clients that pause and then hurry.
HOLDS_S = 2.0
# The buckets answer within milliseconds. A request waits for them so long at most, and the next ones do not try again
# for a while.
CALL_S = 0.5
PAUSE_S = 5.0

Lease = Callable[[str, float, int], Awaitable[tuple[int, float]]]


class TokenBucket:
    """Gains `rate` tokens a second and holds those of HOLDS_S, or one; every request takes one. It starts full."""

    def __init__(self, rate: float, clock: Callable[[], float]):
        self.rate, self.clock = rate, clock
        self.tokens, self.filled = max(1.0, HOLDS_S * rate), clock()

    def take(self, rate: float, most: int = 1) -> tuple[int, float]:
        """(tokens taken, at most `most`; the seconds until the next token where that is 0).

        rate: what holds from now on. A changed rate does not refill the bucket.
        """
        now = self.clock()
        self.tokens += (now - self.filled) * self.rate
        self.filled, self.rate = now, rate
        self.tokens = min(max(1.0, HOLDS_S * rate), self.tokens)
        if self.tokens < 1:
            return 0, (1 - self.tokens) / rate
        taken = min(most, int(self.tokens))
        self.tokens -= taken
        return taken, 0.0


class Buckets:
    """The buckets of all keys, by the keys' names."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self.clock = clock
        self.buckets: dict[str, TokenBucket] = {}

    async def lease(self, name: str, rate: float, most: int) -> tuple[int, float]:
        """As `TokenBucket.take`, from the bucket of key `name`."""
        bucket = self.buckets.setdefault(name, TokenBucket(rate, self.clock))
        return bucket.take(rate, most)


@dataclass
class Held:
    """What a replica has of a key's tokens, and until when the endpoint has none."""

    tokens: int = 0
    rate: float = 0.0
    none_until: float = -math.inf
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Leases:
    """A replica's tokens.

    lease: takes tokens from the endpoint's buckets, as `Buckets.lease` does. replicas: how many may take from there;
    it sets the size of a lot, and the share of a rate that holds while `lease` fails.
    """

    def __init__(self, lease: Lease, replicas: int = 1, clock: Callable[[], float] = time.monotonic):
        self.lease, self.replicas, self.clock = lease, replicas, clock
        self.held: dict[str, Held] = {}
        self.alone = Buckets(clock)
        self.alone_until = -math.inf

    async def take(self, name: str, rate: float) -> float:
        """Take a token of key `name` and return 0; where there is none, the seconds until the next."""
        held = self.held.setdefault(name, Held())
        if held.rate != rate:
            held.rate, held.none_until = rate, -math.inf
        if held.tokens:
            held.tokens -= 1
            return 0.0
        async with held.lock:  # those who come meanwhile are served from the same lot
            if not held.tokens and (wait := held.none_until - self.clock()) > 0:
                return wait
            if not held.tokens:
                held.tokens, wait = await self._lot(name, rate)
                if not held.tokens:
                    held.none_until = self.clock() + wait
                    return wait
            held.tokens -= 1
        return 0.0

    async def _lot(self, name: str, rate: float) -> tuple[int, float]:
        most = math.ceil(rate * LOT_S / self.replicas) if self.replicas > 1 else 1
        if self.clock() >= self.alone_until:
            try:
                return await asyncio.wait_for(self.lease(name, rate, most), CALL_S)
            except Exception:  # a lost process, however Ray tells it
                self.alone_until = self.clock() + PAUSE_S
        return await self.alone.lease(name, rate / self.replicas, 1)
