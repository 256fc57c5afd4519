"""The search page and the API page: static files that load nothing from other hosts; their headers enforce it."""

import base64
import hashlib
import re
from importlib import resources


def page(name: str = "page") -> tuple[bytes, dict[str, str]]:
    """(HTML, its headers). Only the page's own script may run, by its digest, and it may call only this endpoint."""
    html = resources.files("mcmfh.serving").joinpath(f"{name}.html").read_bytes()
    script = re.search(rb"<script>(.*?)</script>", html, re.DOTALL)
    assert script, "the page has one script"
    digest = base64.b64encode(hashlib.sha256(script[1]).digest()).decode()
    policy = {
        "default-src": "'none'",
        "script-src": f"'sha256-{digest}'",
        "style-src": "'unsafe-inline'",
        "img-src": "blob: data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return html, {"Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items())}
