"""Who may send requests, and how often: bearer keys, stored as sha256 only, with one token bucket each.

A key has 256 random bits, so its plain hash cannot be inverted; salting and stretching are for passwords. Without keys
the endpoint cannot tell callers apart and stays on loopback.
"""

import hashlib
import hmac
import ipaddress
import secrets
import time
from collections.abc import Callable, Mapping, Sequence

import yaml
from pydantic import TypeAdapter, ValidationError

from mcmfh.config import KeyConfig, ServeConfig
from mcmfh.errors import InputError
from mcmfh.store import files


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
    """Admits requests that carry one of `keys`; without keys every request.

    Requests are spread over `replicas`, so each of them allows its share of a key's rate.
    """

    def __init__(self, keys: Sequence[KeyConfig], replicas: int = 1, clock: Callable[[], float] = time.monotonic):
        self.keys = [
            (bytes.fromhex(key.sha256), key.name, TokenBucket(key.requests_per_second / replicas, clock))
            for key in keys
        ]

    def admit(self, authorization: str | None) -> str | None:
        """The name of the key in an Authorization header; None where no keys are configured. Raises Refused.

        The key is compared with every configured key, each time in constant time, so that timing reveals nothing.
        """
        if not self.keys:
            return None
        scheme, _, key = (authorization or "").partition(" ")
        digest = key_digest(key.strip())
        match: tuple[str, TokenBucket] | None = None
        for expected, name, bucket in self.keys:
            if hmac.compare_digest(digest, expected):
                match = name, bucket
        if match is None or scheme.lower() != "bearer":
            detail = "this endpoint needs a key: send the header 'Authorization: Bearer <key>'"
            raise Refused(401, detail, {"WWW-Authenticate": 'Bearer realm="mcmfh"'})
        name, bucket = match
        if wait := bucket.take():
            seconds = str(max(1, -int(-wait // 1)))
            raise Refused(429, f"key '{name}' sent too many requests; wait {seconds} s", {"Retry-After": seconds})
        return name


def key_digest(key: str) -> bytes:
    """sha256 of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def new_key() -> tuple[str, str]:
    """(a new key, the hex sha256 to configure). The key itself is stored nowhere."""
    key = f"mcmfh_{secrets.token_urlsafe(32)}"
    return key, key_digest(key).hex()


def configured_keys(serve: ServeConfig) -> list[KeyConfig]:
    """serve.keys, and those listed in the file at serve.keys_uri. Raises InputError."""
    keys = list(serve.keys)
    if serve.keys_uri:
        try:
            listed = yaml.safe_load(files.read(serve.keys_uri))
            keys += TypeAdapter(list[KeyConfig]).validate_python(listed)
        except FileNotFoundError:
            raise InputError(f"key file '{serve.keys_uri}' does not exist; correct serve.keys_uri") from None
        except (yaml.YAMLError, UnicodeDecodeError, ValidationError):
            # The faulty text may be a key that somebody pasted; the message does not repeat it.
            raise InputError(
                f"key file '{serve.keys_uri}' is not a list of {{name, sha256}}; make its lines with mcmfh key new NAME"
            ) from None
    if len({key.name for key in keys}) < len(keys):
        raise InputError("two access keys have the same name; give each its own")
    return keys


def check_binding(serve: ServeConfig, keys: Sequence[KeyConfig]) -> None:
    """Raise InputError where the host of an endpoint without keys can be reached from other machines."""
    if not keys and not is_loopback(serve.host):
        raise InputError(
            f"serve.host '{serve.host}' can be reached from other machines and no access key is configured; "
            "make one with mcmfh key new NAME, or use 127.0.0.1"
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`. Names are not looked up: all but localhost count as outside."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
