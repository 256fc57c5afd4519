"""Requests generated from the endpoint's own OpenAPI document, and hostile bodies: answered or refused, never broken.

Each of ROLES gets what the rules say and nothing else. In the fast form some hundred for each; `-m slow` sends 10,000
and 2,000, over a socket, and watches memory.
"""

import io
import json
import os
import threading
from urllib.parse import quote

import httpx
import numpy as np
import pytest
import uvicorn
from support.serving_config import served

from mcmfh.processes import anonymous_mib, free_port
from mcmfh.serving.access_log import AccessLog
from mcmfh.serving.application import application
from mcmfh.serving.keys import new_key
from mcmfh.serving.page import page
from mcmfh.serving.replica import Replica

KNOWN = {200, 400, 404, 413, 422, 503}
TEXTS = [
    "",
    "a",
    "i7",
    "\0",
    "ü ?#%2F",
    "../..",
    "\ud800",
    "CT",
    "0305",
    "é" * 3000,
    "' OR 1=1 --",
    "{}",
    "NaN",
    "1e999",
]
VALUES = [None, True, False, 0, -1, 7, 16, 2**31, 2**63, 10**40, 0.5, -0.0, 1e308, float("nan"), float("inf"), [], {}]


class Generator:
    """Values of JSON schemas, one time in five something else."""

    def __init__(self, document: dict, seed: int):
        self.document, self.rng = document, np.random.default_rng(seed)

    def of(self, schema: dict, depth: int = 0):
        if self.rng.random() < 0.2 or depth > 4:
            return self.anything(depth)
        if "$ref" in schema:
            return self.of(self.document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], depth)
        if "anyOf" in schema:
            return self.of(self.pick(schema["anyOf"]), depth)
        if "enum" in schema:
            return self.pick(schema["enum"])
        match schema.get("type"):
            case "object":
                named = schema.get("properties", {})
                value = {name: self.of(one, depth + 1) for name, one in named.items() if self.rng.random() < 0.4}
                if not named:
                    value = {self.pick(["modality", "year", *TEXTS]): self.anything(depth) for _ in range(self.few())}
                return value
            case "integer":
                return int(self.rng.integers(schema.get("minimum", -5), min(schema.get("maximum", 1000), 10**6) + 1))
            case "boolean":
                return bool(self.rng.random() < 0.5)
            case "string" if "pattern" in schema:
                return self.rng.bytes(int(self.rng.integers(0, 4))).hex()
            case "string":
                return self.pick(TEXTS) * self.few()
        return self.anything(depth)

    def anything(self, depth: int):
        kind = self.rng.integers(5)
        if kind == 0 and depth < 4:
            return [self.anything(depth + 1) for _ in range(self.few())]
        if kind == 1 and depth < 4:
            return {self.pick(["min", "max", *TEXTS]): self.anything(depth + 1) for _ in range(self.few())}
        return self.pick(TEXTS if kind == 2 else VALUES)

    def pick(self, among: list):
        return among[int(self.rng.integers(len(among)))]

    def few(self) -> int:
        return int(self.rng.integers(4))

    def request(self) -> dict:
        path, operations = self.pick([*self.document["paths"].items()])
        method, operation = self.pick([*operations.items()])
        path = path.replace("{item_id}", quote(self.pick([*TEXTS, ".", "..", "a/b", "/", "image"]), errors="replace"))
        request = {"method": method.upper(), "url": path}
        if "requestBody" in operation:
            kinds = operation["requestBody"]["content"]
            kind = self.pick([*kinds])
            fields = self.of(kinds[kind]["schema"])
            if kind == "application/json":
                request["content"] = json.dumps(fields)
                request["headers"] = {"Content-Type": kind}
            else:
                fields = fields if isinstance(fields, dict) else {}
                image = fields.pop("image", None)
                words = {str(n): v if isinstance(v, str) else json.dumps(v) for n, v in fields.items()}
                request["data"] = {sendable(n): sendable(v) for n, v in words.items()}
                request["files"] = {"image": ("f", self.rng.bytes(self.few() * 9))} if image is not None else None
        return request

    def hostile(self) -> dict:
        """A body that is no query: cut, nested, contradicting its length or kind."""
        deep = "[" * int(self.rng.integers(1, 50_000))
        body = self.pick(
            [
                self.rng.bytes(int(self.rng.integers(0, 3000))),
                b'{"report": "' + self.rng.bytes(50) + b'"}',
                f'{{"where": {deep}'.encode(),
                deep.encode(),
                b'{"k": 1' + b"0" * 5000 + b', "code": "0305", "modality": "image"}',
                b'{"code": "0305", "modality": "image", "where": {"year": ' + b"[1]" * 100 + b"}}",
                b"--x\r\nContent-Disposition: form-data; name=" + self.rng.bytes(20) + b"\r\n\r\n",
                b'--x\r\nContent-Disposition: form-data; name="image"; filename="f"\r\n\r\n'
                + self.pick([b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"\0" * 128 + b"DICM"])
                + self.rng.bytes(300)
                + b"\r\n--x--",
                b'--x\r\nContent-Disposition: form-data; name="where"\r\n\r\n' + deep.encode() + b"\r\n--x--\r\n",
                b'--x\r\nContent-Disposition: form-data; name="k"\r\n\r\n1\r\n' * 60 + b"--x--",
            ]
        )
        kinds = [
            "application/json",
            "multipart/form-data; boundary=x",
            "multipart/form-data",
            "text/plain; charset=no-such",
        ]
        path = self.pick(["/v1/search", "/v1/hash", "/v1/version", "/", "/v1/items/%00", "/docs"])
        return {"method": "POST", "url": path, "content": body, "headers": {"Content-Type": self.pick(kinds)}}


def sendable(text: str) -> str:
    """Without lone surrogates, which no form can carry."""
    return text.encode(errors="replace").decode()


# Who asks → the key that is sent. The endpoint of "anybody here" is on loopback and has no keys.
SECRET, DIGEST = new_key()
SEARCHING, SEARCHING_DIGEST = new_key()
READING, READING_DIGEST = new_key()
ROLES = {
    "anybody here": None,
    "no key": None,
    "a wrong key": new_key()[0],
    "a key's digest": DIGEST,
    "a key": SECRET,
    "a key to search": SEARCHING,
    "a key to read": READING,
}
KEYS = [
    {"name": "ward", "sha256": DIGEST, "requests_per_second": 1e6},
    {"name": "search", "sha256": SEARCHING_DIGEST, "requests_per_second": 1e6, "roles": ["search"]},
    {"name": "read", "sha256": READING_DIGEST, "requests_per_second": 1e6, "roles": ["read"]},
]
# What a key of one role is refused, by the beginning of the path.
CLOSED = {"a key to search": ("/v1/items/", "/metrics"), "a key to read": ("/v1/search", "/v1/hash", "/metrics")}
STRANGERS = {"no key", "a wrong key", "a key's digest"}
PUBLIC = {"/healthz", "/readyz"}


@pytest.fixture(params=ROLES)
def role(request) -> str:
    return request.param


@pytest.fixture
def client(archive, role):
    """A client of a real server on a socket, with the key of `role`."""
    port = free_port()
    keys = [] if role == "anybody here" else KEYS
    app = application(Replica(served(archive, max_body_mb=1, keys=keys), AccessLog(io.StringIO())))
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="critical", access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.02)
    headers = {"Authorization": f"Bearer {ROLES[role]}"} if ROLES[role] else {}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, headers=headers) as client:
        yield client
    server.should_exit = True
    thread.join()


def send(client, request: dict, role: str, archive: str) -> None:
    answer = client.request(**request)
    told = (request, answer.status_code, answer.text[:2000])
    assert answer.headers["Cache-Control"] == "no-store", told
    assert answer.headers["X-Content-Type-Options"] == "nosniff", told
    assert archive not in answer.text, told  # an answer names no address of the archive
    if role in STRANGERS and answer.url.path not in PUBLIC:
        check_refused(answer, told)
        return
    if answer.url.path.startswith(CLOSED.get(role, ("never",))):
        assert answer.status_code == 403, told
        assert "report of" not in answer.text, told
        return
    assert answer.status_code in KNOWN | {405}, told
    if role == "a key to search":
        assert "report of" not in answer.text, told
    if answer.status_code not in (200, 405) and answer.headers["Content-Type"] != "application/problem+json":
        assert answer.status_code == 503, told  # /readyz
    if "json" in answer.headers["Content-Type"]:
        json.loads(answer.content, parse_constant=lambda word: pytest.fail(f"{word} is not JSON: {request}"))


def check_refused(answer, told) -> None:
    """What a stranger gets: 401, and either one fixed sentence or one of the empty pages."""
    assert answer.status_code == 401, told
    if answer.headers["Content-Type"].startswith("text/html"):
        assert answer.content in (page()[0], page("docs")[0]), told
    else:
        assert answer.json() == {
            "type": "about:blank",
            "title": "Key needed",
            "status": 401,
            "detail": "this endpoint needs a key: send the header 'Authorization: Bearer <key>'",
        }, told


@pytest.mark.parametrize(
    ("requests", "bodies"), [(400, 150), pytest.param(10_000, 2_000, marks=pytest.mark.slow)], ids=["fast", "slow"]
)
def test_generated_and_hostile_requests(client, role, archive, requests, bodies):
    document = client.get("/openapi.json", headers={"Authorization": f"Bearer {SECRET}"}).json()
    generator = Generator(document, seed=1)
    memory = []
    for turn in range(requests + bodies):
        send(client, generator.request() if turn < requests else generator.hostile(), role, archive)
        if turn % ((requests + bodies) // 8) == 0:
            memory.append(anonymous_mib(os.getpid()))
    assert memory[-1] < memory[2] + 40, memory  # after the first quarter everything has been used once
    answer = client.post("/v1/search", json={"code": "0305", "modality": "image"})
    assert answer.status_code == (401 if role in STRANGERS else 403 if role == "a key to read" else 200)


VARIANTS = {
    "a letter more": f"Bearer {SECRET}x",
    "a letter less": f"Bearer {SECRET[:-1]}",
    "other cases": f"Bearer {SECRET.swapcase()}",
    "the digest": f"Bearer {DIGEST}",
    "no key": "Bearer",
    "null": "Bearer null",
    "Basic": f"Basic {SECRET}",
    "no scheme": SECRET,
    "twice": f"Bearer {SECRET}, Bearer {SECRET}",
    "an equals sign": f"Bearer={SECRET}",
    "a tab": f"Bearer\t{SECRET}",
}


@pytest.mark.parametrize("role", ["no key"], indirect=True)
@pytest.mark.parametrize("header", VARIANTS.values(), ids=VARIANTS)
def test_a_header_that_resembles_a_key_s_opens_nothing(client, role, archive, header):
    for path in ("/v1/version", "/v1/items/i9", "/openapi.json", "/metrics", "/v1/items/i9/image", "//v1/version"):
        answer = client.get(path, headers={"Authorization": header})
        check_refused(answer, (path, header))
    answer = client.get(f"/v1/version?key={SECRET}&authorization=Bearer%20{SECRET}", cookies={"authorization": SECRET})
    check_refused(answer, header)
