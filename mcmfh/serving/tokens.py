"""Tokens of an OpenID Connect issuer: JWTs whose signature is verified with the keys that the issuer publishes (JWKS).

The issuer is asked when a replica starts, every REFRESH_S, and for a key that is not among those read, at most every
PAUSE_S. Its keys hold for STALE_S without an answer; then no token is accepted until it answers again.
"""

import asyncio
import hashlib
import json
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
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
LARGEST = 2**20  # bytes of a document of the issuer
REMEMBERED = 4096

Fetch = Callable[[str], bytes]


class NotAccepted(Exception):
    """A token that opens nothing; the message says why. `known`: it is the issuer's, but its subject has no rights."""

    def __init__(self, detail: str, known: bool = False):
        super().__init__(detail)
        self.known = known


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
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._read_at = self._tried_at = float("-inf")
        self._accepted: dict[str, tuple[str, GroupConfig, float]] = {}  # by the token's sha256: until when, by the wall
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
        name = hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
        subject, group, until = self._accepted.get(name, ("", None, 0.0))
        if group is not None and time.time() < until and self._fresh():
            return subject, group
        key_id = self._key_id(token)
        if key_id not in self._keys or not self._fresh():
            await asyncio.to_thread(self.refresh, PAUSE_S)
        if key_id not in self._keys or not self._fresh():
            raise NotAccepted("the token is signed with a key that its issuer does not publish")
        subject, group, until = self._verified(token, self._keys[key_id])
        if len(self._accepted) >= REMEMBERED:
            self._accepted.clear()
        self._accepted[name] = (subject, group, until)
        return subject, group

    def refresh(self, pause: float = 0.0) -> None:
        """Read the issuer's keys, unless that was tried less than `pause` seconds ago. Never raises."""
        with self._lock:
            if self.clock() - self._tried_at < pause:
                return
            self._tried_at = self.clock()
            try:
                keys = self._published()
            except Exception as error:  # it may answer whatever it likes
                self.report("issuer_failed", {"reason": type(error).__name__})
                return
            if keys.keys() != self._keys.keys():
                self._accepted = {}  # a key that was withdrawn may have signed them
            self._keys, self._read_at = keys, self.clock()

    def _fresh(self) -> bool:
        return self.clock() - self._read_at <= STALE_S

    def _published(self) -> dict[str, jwt.PyJWK]:
        issuer = str(self.oidc.issuer)
        discovery = json.loads(self.fetch(f"{issuer.rstrip('/')}/.well-known/openid-configuration"))
        if discovery["issuer"] != issuer:
            raise ValueError("the document is another issuer's")
        address = str(discovery["jwks_uri"])
        if urlsplit(issuer).scheme == "https" and urlsplit(address).scheme != "https":
            raise ValueError("the keys are offered without TLS")
        keys = {}
        for fields in json.loads(self.fetch(address))["keys"]:
            if fields.get("use", "sig") == "sig" and fields.get("kty") in ("RSA", "EC", "OKP"):
                key = jwt.PyJWK(fields)
                keys[key.key_id or ""] = key
        return keys

    def _key_id(self, token: str) -> str:
        try:
            return str(jwt.get_unverified_header(token).get("kid", ""))
        except (jwt.InvalidTokenError, ValueError) as error:
            raise NotAccepted("the token is no JWT") from error

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
        except (jwt.InvalidTokenError, ValueError, TypeError) as error:
            raise NotAccepted(f"the token is not accepted ({type(error).__name__})") from error
        listed = claims.get(self.oidc.groups_claim, [])
        groups = [one for one in (listed if isinstance(listed, list) else [listed]) if isinstance(one, str)]
        for group in self.oidc.groups:
            if group.group in groups:
                return str(claims["sub"]), group, float(claims["exp"]) + LEEWAY_S
        raise NotAccepted("you are in no group that may use this endpoint", known=True)

    def _run(self) -> None:
        self.refresh()
        while not self._stop.wait(REFRESH_S if self._keys else PAUSE_S):
            self.refresh()


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any, **named: Any) -> None:
        return None


def _fetched(address: str) -> bytes:
    with urllib.request.build_opener(_NoRedirects).open(address, timeout=5) as answer:
        data: bytes = answer.read(LARGEST)
        return data
