"""Who may send requests: bearer keys, stored as sha256 only. How often is counted in `rates`.

Without keys the endpoint cannot tell callers apart and stays on loopback.
"""

import hmac
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from mcmfh.config import GrantConfig, KeyConfig
from mcmfh.serving.keys import key_digest
from mcmfh.serving.quotas import Quotas, seconds_left
from mcmfh.serving.rates import Buckets, Leases
from mcmfh.serving.roles import ANYBODY, Caller, granted
from mcmfh.serving.tokens import NotAccepted, Tokens, looks_like_token

SUBJECT = "oidc:"  # before the subject of a token; no key's name holds a colon
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="mcmfh"'}


class Refused(Exception):
    """A refused request: the HTTP status, one sentence and the headers of the answer."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str]):
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, dict(headers)


class Access:
    """Admits requests that carry one of `keys()`: the keys of the moment, None for an endpoint without keys.

    None admits every request, and an empty list none. `rates` says how often a key may come in a second and `quotas` in
    a day; by default this process alone counts. archives: those that are served.
    """

    def __init__(
        self,
        keys: Callable[[], Sequence[KeyConfig] | None],
        rates: Leases | None = None,
        archives: Sequence[str] = (),
        quotas: Quotas | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        tokens: Tokens | None = None,
    ):
        self.tokens = tokens
        self.keys, self.rates = keys, rates or Leases(Buckets().lease)
        self.archives, self.quotas, self.now = archives, quotas or Quotas(now=now), now

    async def admit(self, authorization: str | None) -> Caller:
        """Who sends this Authorization header; ANYBODY where no keys are configured. Raises Refused."""
        scheme, _, credentials = (authorization or "").partition(" ")
        if self.tokens is not None and scheme.lower() == "bearer" and looks_like_token(credentials.strip()):
            return await self._counted(*await self._subject(self.tokens, credentials.strip()))
        key = self.identify(authorization)
        return ANYBODY if key is None else await self._counted(f"key '{key.name}'", key.name, key)

    async def _subject(self, tokens: Tokens, token: str) -> tuple[str, str, GrantConfig]:
        """(the subject of a token in words, its name in log and audit, what it may do). Raises Refused."""
        try:
            subject, group = await tokens.identify(token)
        except NotAccepted as error:
            raise Refused(403 if error.known else 401, str(error), {} if error.known else CHALLENGE) from None
        return "you", f"{SUBJECT}{subject}", group

    async def _counted(self, whose: str, name: str, grant: GrantConfig) -> Caller:
        """The caller `name`, after its request was counted. Raises Refused."""
        if wait := await self.rates.take(name, grant.requests_per_second):
            seconds = str(max(1, math.ceil(wait)))
            raise Refused(429, f"{whose} sent too many requests; wait {seconds} s", {"Retry-After": seconds})
        caller = granted(name, grant)
        if grant.archives is not None and not caller.among(self.archives):
            raise Refused(403, f"what this endpoint serves is not among the archives of {whose}", {})
        if grant.requests_per_day is not None and not self.quotas.take(name, grant.requests_per_day):
            detail = f"{whose} sent the {grant.requests_per_day:,} requests of this day (UTC)"
            raise Refused(429, detail, {"Retry-After": str(seconds_left(self.now()))})
        return caller

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
            raise Refused(401, detail, CHALLENGE)
        if match.expires is not None and match.expires <= self.now():
            raise Refused(401, f"key '{match.name}' has expired; ask for a new one", CHALLENGE)
        return match


def check_role(caller: Caller, path: str) -> None:
    """Raise Refused where `caller` may not ask for that address."""
    try:
        allowed = caller.may(path)
    except KeyError:
        raise Refused(404, "there is nothing at this address; see /docs", {}) from None
    if not allowed:
        raise Refused(403, "your key or group has not the role for this; ask whoever gave it to you", {})
