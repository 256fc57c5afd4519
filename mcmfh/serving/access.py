"""Who may send requests, and how often: bearer keys, stored as sha256 only, with one token bucket each.

Without keys the endpoint cannot tell callers apart and stays on loopback.
"""

import hmac
import time
from collections.abc import Callable, Mapping, Sequence

from mcmfh.config import KeyConfig
from mcmfh.serving.keys import key_digest


class Refused(Exception):
    """A refused request: the HTTP status, one sentence and the headers of the answer."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str]):
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, dict(headers)


class TokenBucket:
    """Gains `rate` tokens a second and holds at most max(1, rate); every request takes one."""

    def __init__(self, rate: float, clock: Callable[[], float]):
        self.rate, self.clock = rate, clock
        self.capacity = max(1.0, rate)
        self.tokens, self.filled = self.capacity, clock()

    def take(self) -> float:
        """Take a token and return 0; where the bucket is empty, the seconds until the next token."""
        now = self.clock()
        self.tokens = min(self.capacity, self.tokens + (now - self.filled) * self.rate)
        self.filled = now
        if self.tokens < 1:
            return (1 - self.tokens) / self.rate
        self.tokens -= 1
        return 0.0


class Access:
    """Admits requests that carry one of `keys()`: the keys of the moment, None for an endpoint without keys.

    None admits every request, and an empty list none. Requests are spread over `replicas`, so each of them allows its
    share of a key's rate.
    """

    def __init__(
        self,
        keys: Callable[[], Sequence[KeyConfig] | None],
        replicas: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.keys, self.replicas, self.clock = keys, replicas, clock
        self.buckets: dict[str, TokenBucket] = {}  # by the name of the key

    def admit(self, authorization: str | None) -> str | None:
        """The name of the key in an Authorization header; None where no keys are configured. Raises Refused.

        The key is compared with every configured key, each time in constant time, so that timing reveals nothing.
        """
        keys = self.keys()
        if keys is None:
            return None
        scheme, _, key = (authorization or "").partition(" ")
        digest = key_digest(key.strip()).hex()
        match: KeyConfig | None = None
        for expected in keys:
            if hmac.compare_digest(digest, expected.sha256):
                match = expected
        if match is None or scheme.lower() != "bearer":
            detail = "this endpoint needs a key: send the header 'Authorization: Bearer <key>'"
            raise Refused(401, detail, {"WWW-Authenticate": 'Bearer realm="mcmfh"'})
        if wait := self._bucket(match).take():
            seconds = str(max(1, -int(-wait // 1)))
            raise Refused(429, f"key '{match.name}' sent too many requests; wait {seconds} s", {"Retry-After": seconds})
        return match.name

    def _bucket(self, key: KeyConfig) -> TokenBucket:
        """The key's bucket: a fresh one where the rate was changed, so that the new rate holds from now on."""
        rate = key.requests_per_second / self.replicas
        bucket = self.buckets.get(key.name)
        if bucket is None or bucket.rate != rate:
            bucket = self.buckets[key.name] = TokenBucket(rate, self.clock)
        return bucket
