"""A real OpenID Connect issuer on loopback: npm's oidc-provider, run by oidc_issuer.mjs."""

import base64
import hashlib
import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
from support.bucket_servers import running

from mcmfh.processes import free_port

_MODULE = Path(__file__).parents[2] / "build" / "oidc" / "node_modules" / "oidc-provider" / "lib" / "index.js"
_BACK = "http://127.0.0.1/back"


def oidc_provider() -> list[str] | None:
    """The start of the issuer's command; None where it is not installed."""
    node = shutil.which("node")
    return [node, str(Path(__file__).with_suffix(".mjs")), str(_MODULE)] if node and _MODULE.exists() else None


class LocalIssuer:
    """groups: the names of clients and people → the groups that their tokens list."""

    def __init__(self, program: list[str], groups: dict[str, list[str]]):
        self.program, self.groups, self.port = program, groups, free_port()
        self.issuer = f"http://127.0.0.1:{self.port}"

    @contextmanager
    def up(self) -> Iterator[None]:
        """In the block the issuer answers, with keys that it never had before."""
        with running([*self.program, str(self.port), json.dumps(self.groups)], self.port):
            yield

    def token_of_client(self, name: str, resource: str = "https://mcmfh") -> str:
        form = {"grant_type": "client_credentials", "resource": resource, "scope": "search"}
        answer = httpx.post(f"{self.issuer}/token", data=form, auth=(name, "secret"))
        return str(answer.raise_for_status().json()["access_token"])

    def token_of_person(self, name: str, resource: str = "https://mcmfh") -> str:
        """The access token after `name` has signed in and agreed: the code flow with PKCE."""
        verifier = secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {"client_id": "page", "response_type": "code", "redirect_uri": _BACK, "scope": "openid search"}
        asked |= {"code_challenge": challenge, "code_challenge_method": "S256", "resource": resource}
        with httpx.Client() as browser:
            answer, at = browser.get(f"{self.issuer}/auth", params=asked), self.issuer
            while "code" not in parse_qs(urlsplit(at).query):
                if answer.is_redirect:
                    at = urljoin(at, answer.headers["location"])
                    answer = browser.get(at) if at.startswith(self.issuer) else answer
                else:
                    prompt = "login" if 'name="login"' in answer.text else "consent"
                    form = {"prompt": prompt, "login": name, "password": "any"}
                    answer = browser.post(at, data=form)
                    answer.raise_for_status() if not answer.is_redirect else None
            form = {"grant_type": "authorization_code", "client_id": "page", "redirect_uri": _BACK}
            form |= {"code": parse_qs(urlsplit(at).query)["code"][0], "code_verifier": verifier, "resource": resource}
            return str(browser.post(f"{self.issuer}/token", data=form).raise_for_status().json()["access_token"])
