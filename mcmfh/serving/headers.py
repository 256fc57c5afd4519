"""Headers of every answer: nothing is kept by browsers or proxies, taken for another type, or shown on other sites."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Message

ALWAYS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}
HSTS = "max-age=31536000"


def is_https(scheme: str, headers: Headers) -> bool:
    """Whether the client speaks TLS, to this server or to the proxy in front.

    A client may lie about it. It then gets HSTS for nothing, which browsers ignore on a connection without TLS.
    """
    forwarded = headers.get("forwarded", "").replace(" ", "").replace('"', "").lower()
    return "https" in (scheme, headers.get("x-forwarded-proto", "").lower()) or "proto=https" in forwarded


def add_headers(start: Message, https: bool) -> None:
    """Set the headers of an answer, in place. `start` is its ASGI message http.response.start."""
    headers = MutableHeaders(scope=start)
    for name, value in ALWAYS.items():
        headers[name] = value
    if https:
        headers["Strict-Transport-Security"] = HSTS
