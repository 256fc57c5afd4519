"""One request straight through an ASGI application, without a server or a client."""

import asyncio
from typing import Any


async def asked(
    app: Any,
    path: str = "/v1/search",
    body: bytes = b"",
    stalls: asyncio.Event | None = None,
    headers: list[tuple[bytes, bytes]] | None = None,
) -> tuple[int, dict[bytes, bytes]]:
    """(status, headers) of the answer. `stalls` holds back the body of the request until it is set."""
    sent: list[dict[str, Any]] = []

    received = False

    async def receive() -> dict[str, Any]:
        nonlocal received
        if received:  # the client stays connected and sends nothing more, as a server would tell it
            await asyncio.Event().wait()
        received = True
        if stalls is not None:
            await stalls.wait()
        return {"type": "http.request", "body": body}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    method = "POST" if path == "/v1/search" else "GET"
    scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b""}
    headers = [(b"content-type", b"application/json"), (b"host", b"localhost"), *(headers or [])]
    await app({**scope, "headers": headers, "http_version": "1.1"}, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"])
