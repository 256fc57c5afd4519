"""Who may ask, and how often: bearer keys of which only the sha256 is kept, and a token bucket for each.

A key has 256 random bits, so a plain hash of it cannot be turned back; salting and stretching are for passwords. With
no key configured nobody can be told apart, and the endpoint stays on loopback.
"""

import hashlib
import hmac
import ipaddress
import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence

import yaml
from pydantic import TypeAdapter, ValidationError

from mcmfh.config import KeyConfig, ServeConfig
from mcmfh.errors import InputError
from mcmfh.store import files

# HAProxy in front of the replicas is several times as fast, but its statistics ports bind every address.
FAST_PROXY = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    # Half a minute by default, even where nothing is under way; serve.drain_seconds is what requests get.
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0",
    # Queries only read: what a dying replica took with it is asked of another. Bodies beyond the proxy's buffer, so
    # pictures, are left to the client's own retry.
    "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response",
}


class Refused(Exception):
    """No entry: HTTP status, one sentence and the headers that go with it."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str]):
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, dict(headers)


class Bucket:
    """`rate` tokens a second flow in, up to `rate` (at least one) at a time; every request takes one."""

    def __init__(self, rate: float, clock: Callable[[], float]):
        self.rate, self.clock = rate, clock
        self.room = max(1.0, rate)
        self.tokens, self.filled = self.room, clock()

    def take(self) -> float:
        """0 where a token was there, else the seconds until there will be one."""
        now = self.clock()
        self.tokens = min(self.room, self.tokens + (now - self.filled) * self.rate)
        self.filled = now
        if self.tokens < 1:
            return (1 - self.tokens) / self.rate
        self.tokens -= 1
        return 0.0


class Access:
    """`keys`: who may enter, empty for anybody. `replicas` share each key's rate, as requests spread over them."""

    def __init__(self, keys: Sequence[KeyConfig], replicas: int = 1, clock: Callable[[], float] = time.monotonic):
        self.keys = [
            (bytes.fromhex(key.sha256), key.name, Bucket(key.requests_per_second / replicas, clock)) for key in keys
        ]

    def admit(self, authorization: str | None) -> str | None:
        """The name of the key in an Authorization header; None where no keys are configured. Raises Refused.

        Every key is compared, in constant time, whatever was found before.
        """
        if not self.keys:
            return None
        scheme, _, key = (authorization or "").partition(" ")
        digest = key_digest(key.strip())
        found: tuple[str, Bucket] | None = None
        for expected, name, bucket in self.keys:
            if hmac.compare_digest(digest, expected):
                found = name, bucket
        if found is None or scheme.lower() != "bearer":
            detail = "this endpoint needs a key: send the header 'Authorization: Bearer <key>'"
            raise Refused(401, detail, {"WWW-Authenticate": 'Bearer realm="mcmfh"'})
        name, bucket = found
        if wait := bucket.take():
            seconds = str(max(1, -int(-wait // 1)))
            raise Refused(429, f"key '{name}' sent too many requests; wait {seconds} s", {"Retry-After": seconds})
        return name


def key_digest(key: str) -> bytes:
    """sha256 of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def new_key() -> tuple[str, str]:
    """(a fresh key, the hex sha256 to configure). The key itself is kept nowhere."""
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
            # What is wrong may be a key that somebody pasted there: it is not repeated.
            raise InputError(
                f"key file '{serve.keys_uri}' is not a list of {{name, sha256}}; make its lines with mcmfh key new NAME"
            ) from None
    if len({key.name for key in keys}) < len(keys):
        raise InputError("two access keys have the same name; give each its own")
    return keys


def check_binding(serve: ServeConfig, keys: Sequence[KeyConfig], environment: Mapping[str, str] = os.environ) -> None:
    """Raise InputError where an endpoint without keys could be reached from another machine."""
    if keys:
        return
    if not is_loopback(serve.host):
        raise InputError(
            f"serve.host '{serve.host}' can be reached from other machines and no access key is configured; "
            "make one with mcmfh key new NAME, or use 127.0.0.1"
        )
    if environment.get("RAY_SERVE_ENABLE_HA_PROXY") == "1":
        raise InputError(
            "RAY_SERVE_ENABLE_HA_PROXY=1 opens statistics ports on every address and no access key is configured; "
            "make one with mcmfh key new NAME, or unset the variable"
        )


def proxy_environment(keys: Sequence[KeyConfig]) -> dict[str, str]:
    """What Ray's environment must hold, before Ray starts, for its fast proxy: nothing where there are no keys."""
    return dict(FAST_PROXY) if keys else {}


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`. Names other than localhost are not looked up, so they are not."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
