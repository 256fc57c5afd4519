"""The client of the endpoint. It needs the standard library alone: neither torch nor ray."""

import http.client
import json
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from mcmfh.errors import InputError

TIMEOUT_S, CONNECT_S = 60, 5
PAUSE_S = 0.5  # enough for a proxy to notice that a replica is gone


def search_endpoint(
    url: str | Sequence[str],
    image: bytes | None,
    fields: dict[str, Any],
    key: str | None = None,
    dropped: Callable[[Exception], None] = lambda error: None,
) -> dict[str, Any]:
    """The endpoint's answer to a query, sent to `url`/v1/search with its access key where it has one.

    url: one address or several of the same endpoint, such as those of a cluster's nodes. A request that was lost with a
    replica or a node is sent again, a moment later, to the next address: at least once, and to each address at least
    once; `dropped` is called with the error.

    Raises InputError with the endpoint's own sentence where it refuses the query, and where nothing answers.
    """
    body, kind = multipart(image, fields) if image is not None else (json.dumps(fields).encode(), "application/json")
    addresses = [url] if isinstance(url, str) else list(url)
    tries = max(2, len(addresses))
    for attempt in range(tries):
        if attempt:
            time.sleep(PAUSE_S)
        address = addresses[attempt % len(addresses)]
        request = urllib.request.Request(
            f"{address.rstrip('/')}/v1/search", body, {"Content-Type": kind, **_bearer(key)}
        )
        try:
            with _open(request) as response:
                answer: dict[str, Any] = json.load(response)
                return answer
        except urllib.error.HTTPError as error:
            if error.code < 500 or attempt == tries - 1:
                raise InputError(f"the endpoint answered {error.code}: {_detail(error)}") from error
            dropped(error)
        except (OSError, http.client.HTTPException) as error:
            if attempt == tries - 1:
                raise InputError(
                    f"no endpoint answers at '{address}' ({error}); start one with jobs/serve.py"
                ) from error
            dropped(error)
    raise AssertionError("unreachable")


def get(url: str, key: str | None = None) -> bytes:
    """The bytes at a URL of the endpoint, such as those of a thumbnail."""
    with _open(urllib.request.Request(url, headers=_bearer(key))) as response:
        content: bytes = response.read()
        return content


class _QuickToConnect(http.client.HTTPConnection):
    """A connection for which a machine that is gone is soon as good as one that refuses: it answers nothing at all."""

    def connect(self) -> None:
        self.timeout = CONNECT_S
        super().connect()
        self.sock.settimeout(TIMEOUT_S)


class _QuickToConnectSecurely(http.client.HTTPSConnection, _QuickToConnect):
    """The same with TLS."""


class _Http(urllib.request.HTTPHandler):
    def http_open(self, request: urllib.request.Request) -> Any:
        return self.do_open(_QuickToConnect, request)


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, request: urllib.request.Request) -> Any:
        return self.do_open(_QuickToConnectSecurely, request)


def _open(request: urllib.request.Request) -> Any:
    return urllib.request.build_opener(_Http, _Https).open(request, timeout=TIMEOUT_S)


def _bearer(key: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


def _detail(error: urllib.error.HTTPError) -> str:
    """The sentence of a problem document; the reason of the status where the body is something else."""
    try:
        return str(json.load(error)["detail"])
    except (json.JSONDecodeError, KeyError, TypeError):
        return str(error.reason)


def multipart(image: bytes, fields: dict[str, Any]) -> tuple[bytes, str]:
    """(body, Content-Type) of a multipart/form-data request with an image and further fields."""
    boundary = uuid.uuid4().hex
    parts = []
    for name, value in fields.items():
        text = value if isinstance(value, str) else json.dumps(value)
        parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode())
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="query"\r\n'
    parts.append(head.encode() + b"Content-Type: application/octet-stream\r\n\r\n" + image + b"\r\n")
    return b"".join(parts) + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"
