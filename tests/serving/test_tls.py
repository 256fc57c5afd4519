"""The endpoint behind the TLS proxies of cluster/tls, each run as its recipe says."""

import io
import socket
import threading
from urllib.parse import quote, urlsplit

import httpx
import pytest
from support.fenced_proxy import Mirror, MirrorServer
from support.local_endpoint import listening
from support.serving_config import served
from support.tls_proxy import NAME, TLS, tls_proxy

from mcmfh.serving.access_log import AccessLog
from mcmfh.serving.application import application
from mcmfh.serving.headers import HSTS
from mcmfh.serving.keys import new_key
from mcmfh.serving.replica import Replica

RECIPES = ["nginx.conf", "Caddyfile"]
SECRET, DIGEST = new_key()


@pytest.fixture
def endpoint(archive):
    """The port of an endpoint with a key, on plain uvicorn."""
    config = served(archive, keys=[{"name": "ward", "sha256": DIGEST, "requests_per_second": 1000}])
    with listening(application(Replica(config, AccessLog(io.StringIO())))) as url:
        yield urlsplit(url).port


@pytest.fixture
def by_name(monkeypatch):
    """In this process the name of the recipes is this machine."""
    looked_up = socket.getaddrinfo

    def loopback(host, *arguments, **more):
        return looked_up("127.0.0.1" if host in (NAME, NAME.encode()) else host, *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", loopback)


def client(proxy: TLS, key: str | None = SECRET, **more) -> httpx.Client:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.Client(base_url=proxy.url, verify=proxy.context, headers=headers, trust_env=False, **more)


@pytest.mark.parametrize("recipe", RECIPES)
def test_answers_behind_tls_are_private_and_bind_browsers_to_it(endpoint, by_name, tmp_path, recipe):
    with tls_proxy(tmp_path, recipe, endpoint) as proxy:
        with client(proxy) as asked:
            ids = [quote(item_id, safe="") for item_id in ("a/b", "a/b/image", "ü ?#%2F", "../up")]
            paths = ["/", "/docs", "/healthz", "/v1/version", "/v1/items/nothing", *(f"/v1/items/{i}" for i in ids)]
            answers = [asked.get(path) for path in [*paths, f"/v1/items/{ids[0]}/image"]]
            answers += [
                asked.post("/v1/search", json={"code": "0305", "modality": "report"}),
                asked.post("/v1/search", json={"k": "many"}),
                asked.post("/v1/hash", files={"image": b"no picture"}),
                asked.get("/v1/version", headers={"Authorization": ""}),
            ]
            assert [answer.status_code for answer in answers] == [200] * 4 + [404] + [200] * 6 + [400, 422, 401]
            for answer in answers:
                assert answer.headers["Cache-Control"] == "no-store"
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert answer.headers["Strict-Transport-Security"] == HSTS
            assert answers[5].json()["item_id"] == "a/b"
            assert asked.post("/v1/hash", files={"image": bytes(34 * 2**20)}).status_code == 413
        with httpx.Client(trust_env=False) as plain:
            answer = plain.get(f"http://127.0.0.1:{proxy.plain_port}/v1/version", headers={"Host": NAME})
            assert answer.status_code in (301, 308)
            assert answer.headers["Location"].startswith(f"https://{NAME}")


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_a_client_says_of_itself_does_not_get_through(by_name, tmp_path, recipe):
    server = MirrorServer(("127.0.0.1", 0), Mirror)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    said = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "http", "Forwarded": "for=203.0.113.9;proto=http"}
    with tls_proxy(tmp_path, recipe, server.server_port) as proxy, client(proxy) as asked:
        seen = asked.get("/v1/items/a%2Fb?x=1", headers=said).json()
    server.shutdown()
    assert seen["path"] == "/v1/items/a%2Fb?x=1"
    assert seen["headers"]["x-forwarded-for"] == "127.0.0.1"
    assert seen["headers"]["x-forwarded-proto"] == "https"
    assert not seen["headers"].get("forwarded")
    assert seen["headers"]["host"].partition(":")[0] == NAME


def test_client_certificates_are_asked_for_where_the_recipe_says_so(by_name, tmp_path):
    server = MirrorServer(("127.0.0.1", 0), Mirror)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tls_proxy(tmp_path, "nginx.conf", server.server_port, client_certificates=True) as proxy:
        with client(proxy) as asked:
            assert asked.get("/").status_code == 400
        known = proxy.context
        known.load_cert_chain(*proxy.client)
        with httpx.Client(base_url=proxy.url, verify=known, trust_env=False) as asked:
            assert asked.get("/").status_code == 200
    server.shutdown()
