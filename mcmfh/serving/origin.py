"""What an endpoint without keys asks of a request: that a page of this machine sent it.

A browser reaches loopback on behalf of any page that its user opens. Such a page is told by its origin, or, where it
had its own name resolved to this machine, by the name in the Host header.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers

from mcmfh.serving.access import Refused
from mcmfh.serving.binding import is_loopback


def check_origin(method: str, headers: Headers) -> None:
    """Raise Refused (403) for a request by another name than this machine's, or from a page of another origin."""
    host = headers.get("host")
    if host is not None and not is_loopback(_name(host)):
        raise Refused(403, "this endpoint has no access keys and answers to localhost alone; configure a key", {})
    origin = headers.get("origin")
    if origin is not None and _site(origin) != (host or "").lower():
        raise Refused(403, "this endpoint has no access keys and answers to its own pages alone; configure a key", {})
    opened = method == "GET" and headers.get("sec-fetch-mode") == "navigate"  # a link that the user follows
    if headers.get("sec-fetch-site") in ("cross-site", "same-site") and not opened:
        raise Refused(403, "this endpoint has no access keys and answers to its own pages alone; configure a key", {})


def _site(origin: str) -> str:
    """Name and port of an Origin header, as a Host header has them; "null" for the origin of no site."""
    try:
        return (urlsplit(origin).netloc or "null").lower()
    except ValueError:
        return "null"


def _name(host: str) -> str:
    """The name in a Host header: without its port, and without the brackets of an IPv6 address."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
