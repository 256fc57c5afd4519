"""Who may send requests: bearer keys, stored as sha256 only. How often is counted in `rates`.

Without keys the endpoint cannot tell callers apart and stays on loopback.
"""

import hmac
import math
from collections.abc import Callable, Mapping, Sequence

from mcmfh.config import KeyConfig
from mcmfh.serving.keys import key_digest
from mcmfh.serving.rates import Buckets, Leases


class Refused(Exception):
    """A refused request: the HTTP status, one sentence and the headers of the answer."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str]):
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, dict(headers)


class Access:
    """Admits requests that carry one of `keys()`: the keys of the moment, None for an endpoint without keys.

    None admits every request, and an empty list none. `rates` says how often a key may come; by default this process
    alone counts.
    """

    def __init__(self, keys: Callable[[], Sequence[KeyConfig] | None], rates: Leases | None = None):
        self.keys, self.rates = keys, rates or Leases(Buckets().lease)

    async def admit(self, authorization: str | None) -> str | None:
        """The name of the key in an Authorization header; None where no keys are configured. Raises Refused."""
        key = self.identify(authorization)
        if key is None:
            return None
        if wait := await self.rates.take(key.name, key.requests_per_second):
            seconds = str(max(1, math.ceil(wait)))
            raise Refused(429, f"key '{key.name}' sent too many requests; wait {seconds} s", {"Retry-After": seconds})
        return key.name

    def identify(self, authorization: str | None) -> KeyConfig | None:
        """The key in an Authorization header; None where no keys are configured. Raises Refused (401).

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
        return match
