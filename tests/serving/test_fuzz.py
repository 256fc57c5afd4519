"""Requests generated from the endpoint's own OpenAPI document, and hostile bodies: answered or refused, never broken.

In the fast form some hundred; `-m slow` sends 10,000 and 2,000, over a socket, and watches memory.
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

from mcmfh.benchmarks.serving.processes import free_port
from mcmfh.processes import anonymous_mib
from mcmfh.serving.access_log import AccessLog
from mcmfh.serving.application import application
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


@pytest.fixture
def client(archive):
    """A real server on a socket."""
    port = free_port()
    app = application(Replica(served(archive, max_body_mb=1), AccessLog(io.StringIO())))
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="critical", access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.02)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        yield client
    server.should_exit = True
    thread.join()


def send(client, request: dict) -> None:
    answer = client.request(**request)
    assert answer.status_code in KNOWN | {405}, (request, answer.status_code, answer.text)
    if answer.status_code not in (200, 405) and answer.headers["Content-Type"] != "application/problem+json":
        assert answer.status_code == 503, (request, answer.text)  # /readyz
    if "json" in answer.headers["Content-Type"]:
        json.loads(answer.content, parse_constant=lambda word: pytest.fail(f"{word} is not JSON: {request}"))


@pytest.mark.parametrize(
    ("requests", "bodies"), [(400, 150), pytest.param(10_000, 2_000, marks=pytest.mark.slow)], ids=["fast", "slow"]
)
def test_generated_and_hostile_requests(client, requests, bodies):
    generator = Generator(client.get("/openapi.json").json(), seed=1)
    memory = []
    for turn in range(requests + bodies):
        send(client, generator.request() if turn < requests else generator.hostile())
        if turn % ((requests + bodies) // 8) == 0:
            memory.append(anonymous_mib(os.getpid()))
    assert memory[-1] < memory[2] + 40, memory  # after the first quarter everything has been used once
    assert client.post("/v1/search", json={"code": "0305", "modality": "image"}).status_code == 200
