"""The search page and the API page: static files that load nothing from other hosts; their headers enforce it."""

import base64
import hashlib
import re
from html import escape
from importlib import resources
from urllib.parse import urlsplit

from mcmfh.config import OidcConfig


def page(name: str = "page", oidc: OidcConfig | None = None) -> tuple[bytes, dict[str, str]]:
    """(HTML, its headers). Only the page's own scripts may run, by their digests, and they may call only this endpoint.

    Where `oidc` names a client, people can sign in at its issuer, which the page may then call too.
    """
    html, callees = _read(f"{name}.html"), ["'self'"]
    if oidc is not None and oidc.client_id is not None:
        html = html.replace(b"<script>", _sign_in(oidc) + b"\n<script>", 1)
        callees.append("{0.scheme}://{0.netloc}".format(urlsplit(str(oidc.issuer))))
    scripts = re.findall(rb"<script[^>]*>(.*?)</script>", html, re.DOTALL)
    assert scripts, "the page has a script"
    policy = {
        "default-src": "'none'",
        "script-src": " ".join(f"'sha256-{_digest(script)}'" for script in scripts),
        "style-src": "'unsafe-inline'",
        "img-src": "blob: data:",
        "connect-src": " ".join(callees),
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return html, {"Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items())}


def _sign_in(oidc: OidcConfig) -> bytes:
    """The script that signs in, with what its request to the issuer shows anyway, and nothing else of `oidc`."""
    settings = {
        "issuer": oidc.issuer,
        "client": oidc.client_id,
        "scope": " ".join(oidc.scopes),
        "resource": oidc.resource,
    }
    attributes = "".join(f' data-{name}="{escape(value)}"' for name, value in settings.items() if value)
    return f"<script{attributes}>".encode() + _read("sign_in.js") + b"</script>"


def _read(name: str) -> bytes:
    return resources.files("mcmfh.serving").joinpath(name).read_bytes()


def _digest(script: bytes) -> str:
    return base64.b64encode(hashlib.sha256(script).digest()).decode()
