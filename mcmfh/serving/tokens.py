"""Tokens of an OpenID Connect issuer: JWTs whose signature is verified with the keys that the issuer publishes (JWKS).

The issuer is asked when a replica starts, every REFRESH_S, and for a token that no key verifies, at most every PAUSE_S.
Its keys hold for STALE_S without an answer; then no token is accepted until it answers again.
"""

import asyncio
import hashlib
import json
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import jwt

from mcmfh.config import GroupConfig, OidcConfig

# Signatures with a key pair. With HS256 the issuer's public key would be taken for a shared secret.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
REFRESH_S = 600.0
PAUSE_S = 10.0
STALE_S = 3600.0
LEEWAY_S = 30.0
LONGEST = 8192  # characters of a token
LONGEST_SUBJECT = 255  # ASCII characters (OpenID Connect Core 1.0, section 2)
LARGEST = 2**20  # bytes of a document of the issuer
REMEMBERED = 4096

Fetch = Callable[[str], bytes]


class NotAccepted(Exception):
    """A token that opens nothing; the message says why. `known`: it is the issuer's, but its subject has no rights."""

    def __init__(self, detail: str, known: bool = False):
        super().__init__(detail)
        self.known = known


class _Unverified(NotAccepted):
    """A token that no key verifies. A newer one may."""

    def __init__(self) -> None:
        super().__init__("the token is not signed with a key that its issuer publishes")


@dataclass(frozen=True)
class _Keys:
    """What the issuer published, its keys by `kid`, and the tokens that they verified.

    accepted: sha256 of a token → (subject, group, when it expires, by the wall's clock).
    """

    published: Sequence[dict[str, Any]] = ()
    parsed: Mapping[str, jwt.PyJWK] = field(default_factory=dict)
    accepted: dict[str, tuple[str, GroupConfig, float]] = field(default_factory=dict)


def looks_like_token(credentials: str) -> bool:
    """Whether a bearer's credentials are a JWT; a key has no dots."""
    return credentials.count(".") == 2


class Tokens:
    """Accepts tokens of the issuer `oidc`. `report(event, fields)` is called where it does not answer."""

    def __init__(
        self,
        oidc: OidcConfig,
        report: Callable[[str, dict[str, Any]], None] = lambda event, fields: None,
        clock: Callable[[], float] = time.monotonic,
        fetch: Fetch | None = None,
    ):
        self.oidc, self.report, self.clock, self.fetch = oidc, report, clock, fetch or _fetched
        self._keys = _Keys()
        self._read_at = self._tried_at = float("-inf")
        self._renewal: asyncio.Future[None] | None = None
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="issuer-keys", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    async def identify(self, token: str) -> tuple[str, GroupConfig]:
        """(subject, the first group in the configuration's order that it is in). Raises NotAccepted."""
        if len(token) > LONGEST:
            raise NotAccepted("the token is too long")
        try:
            return self._identified(token)
        except _Unverified:
            await self._renewed()
        return self._identified(token)

    def refresh(self, pause: float = 0.0) -> None:
        """Read the issuer's keys, unless that was tried less than `pause` seconds ago. Never raises."""
        with self._lock:
            if self.clock() - self._tried_at < pause:
                return
            self._tried_at = self.clock()
            try:
                published = self._published()
            except Exception as error:  # it may answer whatever it likes
                self.report("issuer_failed", {"reason": type(error).__name__})
                return
            if published != self._keys.published:  # a key that was withdrawn may have signed what is remembered
                self._keys = _Keys(published, _parsed(published))
            self._read_at = self.clock()

    async def _renewed(self) -> None:
        """Wait until the keys were read again. However many tokens wait for that, they hold one thread."""
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.get_running_loop().run_in_executor(None, self.refresh, PAUSE_S)
        await asyncio.shield(self._renewal)

    def _identified(self, token: str) -> tuple[str, GroupConfig]:
        keys, digest = self._keys, hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
        if not self._fresh():
            raise _Unverified
        subject, group, end = keys.accepted.get(digest, ("", None, 0.0))
        if group is not None and time.time() < end:
            return subject, group
        key = keys.parsed.get(_key_id(token))
        if key is None:
            raise _Unverified
        subject, group, end = self._verified(token, key)
        if len(keys.accepted) >= REMEMBERED:
            keys.accepted.clear()
        keys.accepted[digest] = (subject, group, end)
        return subject, group

    def _fresh(self) -> bool:
        return self.clock() - self._read_at <= STALE_S

    def _published(self) -> list[dict[str, Any]]:
        issuer = str(self.oidc.issuer)
        discovery = json.loads(self.fetch(f"{issuer.rstrip('/')}/.well-known/openid-configuration"))
        if discovery["issuer"] != issuer:
            raise ValueError("the document is another issuer's")
        address = str(discovery["jwks_uri"])
        if urlsplit(address).scheme != "https" and urlsplit(address)[:2] != urlsplit(issuer)[:2]:
            raise ValueError("the keys are offered without TLS")
        return [dict(key) for key in json.loads(self.fetch(address))["keys"]]

    def _verified(self, token: str, key: jwt.PyJWK) -> tuple[str, GroupConfig, float]:
        """(subject, group, when it expires, by the wall's clock). Raises NotAccepted."""
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                audience=self.oidc.audience,
                issuer=self.oidc.issuer,
                leeway=LEEWAY_S,
                options={"require": ["exp", "sub", "iss", "aud"]},
            )
        except jwt.ExpiredSignatureError as error:
            raise NotAccepted("the token has expired; sign in again") from error
        except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError) as error:
            raise _Unverified from error
        except (jwt.InvalidTokenError, ValueError, TypeError, OverflowError) as error:
            raise NotAccepted(f"the token is not accepted ({type(error).__name__})") from error
        subject = str(claims["sub"])
        if not 0 < len(subject) <= LONGEST_SUBJECT or not (subject.isascii() and subject.isprintable()):
            raise NotAccepted("the token names no subject")
        listed = claims.get(self.oidc.groups_claim, [])
        groups = [one for one in (listed if isinstance(listed, list) else [listed]) if isinstance(one, str)]
        for group in self.oidc.groups:
            if group.group in groups:
                return subject, group, float(claims["exp"]) + LEEWAY_S
        raise NotAccepted("you are in no group that may use this endpoint", known=True)

    def _run(self) -> None:
        self.refresh()
        while not self._stop.wait(REFRESH_S if self._keys.parsed else PAUSE_S):
            self.refresh()


def _parsed(published: Sequence[dict[str, Any]]) -> dict[str, jwt.PyJWK]:
    """The keys that verify signatures, by `kid`. Those for encryption, of unknown kinds, damaged: left out."""
    parsed = {}
    for fields in published:
        if fields.get("use", "sig") == "sig" and fields.get("kty") in ("RSA", "EC", "OKP"):
            with suppress(jwt.PyJWTError, ValueError, TypeError, NotImplementedError):
                parsed[str(fields.get("kid", ""))] = jwt.PyJWK(fields)
    return parsed


def _key_id(token: str) -> str:
    """The key that a token names; "" where it names none. Raises NotAccepted."""
    try:
        return str(jwt.get_unverified_header(token).get("kid", ""))
    except (jwt.InvalidTokenError, ValueError) as error:
        raise NotAccepted("the token is no JWT") from error


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any, **named: Any) -> None:
        return None


def _fetched(address: str) -> bytes:
    with urllib.request.build_opener(_NoRedirects).open(address, timeout=5) as answer:
        data: bytes = answer.read(LARGEST)
        return data
