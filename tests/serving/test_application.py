"""The HTTP contract, over a real replica and without Ray: access, limits, item ids, metrics, log, OpenAPI."""

import asyncio
import errno
import io
import json
import os
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.asgi import asked
from support.serving_config import served
from support.snapshot_rows import publish_rows, rows

from mcmfh.client import multipart
from mcmfh.search.query import validated
from mcmfh.search.retrieval import item_path
from mcmfh.serving import answers
from mcmfh.serving.access_log import AccessLog
from mcmfh.serving.application import application
from mcmfh.serving.keys import new_key
from mcmfh.serving.replica import Replica

CODE = {"code": "0305", "modality": "image"}
BODY = json.dumps(CODE).encode()
SECRET, DIGEST = new_key()
KEY = {"Authorization": f"Bearer {SECRET}"}
LOCAL = "http://localhost"
AWKWARD = ("a/b", "a/b/image", "ü ?#%2F", "../up", ".", "..", ";")


@pytest.fixture
def log():
    return io.StringIO()


@pytest.fixture
def client(archive, log):
    """An endpoint without keys."""
    with TestClient(application(Replica(served(archive), AccessLog(log))), LOCAL) as client:
        yield client


@pytest.fixture
def guarded(archive, log):
    config = served(archive, keys=[{"name": "ward", "sha256": DIGEST, "requests_per_second": 1000}])
    with TestClient(application(Replica(config, AccessLog(log)))) as client:
        yield client


def test_answers_are_those_of_the_snapshot_and_as_described(client):
    replica_answer = client.post("/v1/search", json={**CODE, "k": 7})
    body, kind = multipart(picture(), {"report": "clear lungs", "k": 3})
    both = client.post("/v1/search", content=body, headers={"Content-Type": kind})
    for answer in (replica_answer, both):
        assert answer.status_code == 200
        answers.SearchAnswer.model_validate(answer.json(), strict=True)
    assert len(replica_answer.json()["hits"]) == 7
    assert both.json()["target"] == "study"
    assert "search;dur=" in both.headers["Server-Timing"]
    answers.Version.model_validate(client.get("/v1/version").json(), strict=True)
    answers.HashAnswer.model_validate(client.post("/v1/hash", json={"report": "x"}).json(), strict=True)


def picture() -> bytes:
    from PIL import Image

    sink = io.BytesIO()
    Image.linear_gradient("L").save(sink, "PNG")
    return sink.getvalue()


@pytest.mark.parametrize("item_id", AWKWARD)
def test_any_item_id_has_an_address(client, item_id):
    address = item_path(item_id)
    found = client.get(address)
    assert found.json()["item_id"] == item_id
    answers.ItemAnswer.model_validate(found.json(), strict=True)
    assert found.json()["image"] == f"{address}/image"
    assert client.get(found.json()["image"]).content[:3] == b"\xff\xd8\xff"


def transparent(mode: str, kind: str, **options) -> bytes:
    from PIL import Image

    sink = io.BytesIO()
    Image.radial_gradient("L").convert(mode).save(sink, kind, **options)
    if mode == "P":
        return sink.getvalue()
    image = Image.radial_gradient("L").convert(mode)
    image.putalpha(0)
    sink = io.BytesIO()
    image.save(sink, kind, **options)
    return sink.getvalue()


@pytest.mark.parametrize(
    "image",
    [
        transparent("RGBA", "PNG"),
        transparent("LA", "PNG"),
        transparent("P", "PNG", transparency=bytes(256)),
        transparent("RGBA", "WEBP", lossless=True, exact=True),
        transparent("RGBA", "TIFF"),
    ],
)
def test_an_image_without_content_is_422(client, image):
    for route in ("/v1/search", "/v1/hash"):
        refused = client.post(route, files={"image": image})
        assert refused.status_code == 422, refused.text


@pytest.mark.parametrize("name", ["\\ud800", "a\\udfff\\u0000", "\\udc80\\ud800"])
@pytest.mark.parametrize(
    "body", ['{"%s": 1}', '{"report": "x", "where": {"%s": 1}}', '{"report": "x", "target": "%s"}']
)
def test_half_a_character_is_a_fault_of_the_request(client, name, body):
    headers = {"Content-Type": "application/json"}
    assert client.post("/v1/search", content=body % name, headers=headers).status_code == 400


@pytest.mark.parametrize("report", ["   ", "\0", "\u200b\u2060", "?!."])
def test_a_report_without_content_is_422_and_reveals_no_hit(client, report):
    for body in ({"json": {"report": report}}, {"files": {"report": (None, report)}}):
        refused = client.post("/v1/search", **body)
        assert (refused.status_code, refused.headers["Content-Type"]) == (422, "application/problem+json"), body


def test_what_is_not_there_is_404(client):
    for address in ("/v1/items/zzz", "/v1/items/zzz/image", "/v1/nothing"):
        missing = client.get(address)
        assert missing.status_code == 404
        assert missing.headers["Content-Type"] == "application/problem+json"


def test_a_picture_that_left_the_archive_is_404(client, tmp_path):
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"no picture any more")
    assert client.get("/v1/items/a%2Fb/image").status_code == 404
    picture.unlink()
    assert client.get("/v1/items/a%2Fb/image").status_code == 404
    picture.mkdir()
    assert client.get("/v1/items/a%2Fb/image").status_code == 404


@pytest.mark.parametrize("error", [ConnectionRefusedError(), TimeoutError(), OSError(errno.EIO, "disk")])
def test_a_deaf_store_is_503(archive, log, error):
    replica = Replica(served(archive), AccessLog(log))

    def deaf(*_):
        raise error

    vars(replica.archive().current)["thumbnail"] = deaf
    with TestClient(application(replica), LOCAL) as client:
        answer = client.get("/v1/items/a%2Fb/image")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


def test_everything_but_health_needs_a_key(guarded):
    routes = guarded.app.openapi()["paths"]
    addresses = {path.replace("{item_id}", "i7") for path in routes} | {"/", "/metrics", "/docs", "/openapi.json", "/x"}
    for address in sorted(addresses - {"/healthz", "/readyz"}):
        method = "POST" if "post" in routes.get(address, {}) else "GET"
        refused = guarded.request(method, address, json=CODE)
        assert refused.status_code == 401, address
        assert "Bearer" in refused.headers["WWW-Authenticate"]
        assert guarded.request(method, address, json=CODE, headers=KEY).status_code != 401
    for address in ("/healthz", "/readyz"):
        assert guarded.get(address).status_code == 200
    assert "<title>" in guarded.get("/").text  # the page that asks for the key


FOREIGN = [
    {"Host": "rebound.example"},
    {"Host": "rebound.example:8000"},
    {"Host": "127.0.0.1.nip.io"},
    {"Host": "localhost.example"},
    {"Host": "192.168.0.7"},
    {"Host": "[2001:db8::1]:8000"},
    {"Host": "user@evil.example"},
    {"Host": ""},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:3000"},  # another service of this machine
    {"Origin": "http://localhost.evil.example"},
    {"Origin": ""},
    {"Origin": "http://["},
    {"Origin": "http://[::1:8000"},
    {"Origin": "http://localhost:8000, https://evil.example"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
    {"Sec-Fetch-Site": "same-site"},
]


@pytest.mark.parametrize("headers", FOREIGN)
def test_without_keys_only_this_machine_s_pages_are_answered(client, log, headers):
    for method, address in (("POST", "/v1/search"), ("GET", "/v1/items/i9"), ("GET", "/"), ("GET", "/metrics")):
        refused = client.request(method, address, content=BODY, headers={"Content-Type": "application/json", **headers})
        assert refused.status_code == 403, (method, address)
        assert "hits" not in refused.text
    assert client.get("/healthz", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "localhost:8000", "Origin": "http://localhost:8000", "Sec-Fetch-Site": "same-origin"},
        {"Host": "127.0.0.1:8000"},
        {"Host": "LOCALHOST"},
        {"Host": "[::1]:8000", "Origin": "http://[::1]:8000"},
        {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"},
    ],
)
def test_without_keys_this_machine_is_answered(client, headers):
    assert client.post("/v1/search", json=CODE, headers=headers).status_code == 200


def test_a_link_to_the_page_may_be_followed(client):
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert client.get("/", headers=headers).status_code == 200
    assert client.post("/v1/search", json=CODE, headers=headers).status_code == 403


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "application/json-seq"])
def test_json_must_be_called_json(client, kind):
    """A page of another site can send the other types without a preflight."""
    refused = client.post("/v1/search", content=BODY, headers={"Content-Type": kind})
    assert (refused.status_code, "Content-Type" in refused.text) == (400, True)


def test_with_keys_any_name_is_answered(guarded):
    """A reverse proxy passes its own name on; who asks is told by the key."""
    for headers in FOREIGN:
        assert guarded.post("/v1/search", json=CODE, headers={**KEY, **headers}).status_code == 200


@pytest.mark.parametrize("keyed", [True, False])
def test_nothing_is_kept_or_taken_for_another_type(guarded, keyed):
    """Whatever the answer: hits, an item, a picture, a page, a fault, a refusal."""
    addresses = [
        "/v1/items/i9",
        "/v1/items/a%2Fb/image",
        "/v1/version",
        "/",
        "/docs",
        "/openapi.json",
        "/metrics",
        "/x",
    ]
    answers = [guarded.get(address, headers=KEY if keyed else {}) for address in [*addresses, "/healthz", "/readyz"]]
    for body in (CODE, {"report": "two nodules", "k": 3}, {"report": "?"}, {}):
        answers += [
            guarded.post(f"/v1/{route}", json=body, headers=KEY if keyed else {}) for route in ("search", "hash")
        ]
    answers.append(guarded.put("/v1/search", headers=KEY if keyed else {}))
    assert len({answer.status_code for answer in answers}) > 1
    for answer in answers:
        assert answer.headers.get_list("Cache-Control") == ["no-store"], answer.url
        assert answer.headers.get_list("X-Content-Type-Options") == ["nosniff"], answer.url
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Strict-Transport-Security" not in answer.headers


@pytest.mark.parametrize(
    "headers", [{"X-Forwarded-Proto": "https"}, {"Forwarded": 'for=192.0.2.60; proto="https"; by=203.0.113.43'}]
)
def test_behind_tls_the_browser_is_told_to_stay_there(guarded, headers):
    for address in ("/", "/v1/version", "/healthz"):
        assert "max-age" in guarded.get(address, headers=headers).headers["Strict-Transport-Security"]


def test_too_many_requests_are_told_when_to_come_again(archive, log):
    config = served(archive, keys=[{"name": "ward", "sha256": DIGEST, "requests_per_second": 2}])
    with TestClient(application(Replica(config, AccessLog(log)))) as client:
        statuses = [client.post("/v1/search", json=CODE, headers=KEY) for _ in range(20)]
    refused = [answer for answer in statuses if answer.status_code == 429]
    assert refused
    assert int(refused[0].headers["Retry-After"]) >= 1


def test_large_bodies_are_refused_by_their_stated_and_by_their_real_size(archive, log):
    with TestClient(application(Replica(served(archive, max_body_mb=1), AccessLog(log))), LOCAL) as client:
        stated = client.post("/v1/search", content=b"x" * (2**20 + 1))
        chunks = client.post("/v1/search", content=(b"x" * 2**16 for _ in range(17)))
    assert stated.status_code == chunks.status_code == 413


def test_a_full_house_is_503_and_still_healthy(archive, log):
    app = application(Replica(served(archive, max_waiting=2), AccessLog(log)))

    async def scene():
        stalls = asyncio.Event()
        inside = [asyncio.create_task(asked(app, body=BODY, stalls=stalls)) for _ in range(2)]
        await asyncio.sleep(0.05)
        outside, headers = await asked(app, body=BODY)
        health = [(await asked(app, path))[0] for path in ("/healthz", "/readyz")]
        stalls.set()
        return outside, headers, health, [(await one)[0] for one in inside]

    outside, headers, health, inside = asyncio.run(scene())
    assert (outside, health, inside) == (503, [200, 200], [200, 200])
    assert headers[b"retry-after"] == b"1"


def test_a_request_that_never_ends_is_ended(archive, log):
    app = application(Replica(served(archive, timeout_seconds=0.05), AccessLog(log)))

    async def scene():
        return await asked(app, body=BODY, stalls=asyncio.Event())

    status, headers = asyncio.run(scene())
    assert (status, headers[b"retry-after"]) == (503, b"1")


def test_readiness_tells_what_fails_and_draining_is_not_ready(archive, log, models):
    replica = Replica(served(archive, poll_seconds=1000), AccessLog(log))
    with TestClient(application(replica), LOCAL) as client:
        assert client.get("/readyz").json() == {"status": "ready", "snapshot": 1, "failing": None}
        broken = replace(models[0], bundle="file:///gone", bundle_digest="0" * 64)
        publish_rows(archive, rows(["i1"], seed=9), model=broken)
        replica.archive().watcher.poll()
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["failing"]["snapshot"]) == (200, 2)
        assert "gone" not in ready.text + log.getvalue()
        assert client.post("/v1/search", json=CODE).json()["snapshot"] == 1
        assert 'mcmfh_snapshot_failures_total{archive="small"} 1.0' in client.get("/metrics").text
        assert (
            'mcmfh_snapshot_failing{archive="small",reason="snapshot 2 was refused (InputError)"} 2.0'
            in client.get("/metrics").text
        )
        assert replica.state().startswith("snapshot 1 (60 items), for snapshot 2 was refused")
        replica.draining = True
        assert client.get("/readyz").status_code == 503
        assert client.post("/v1/search", json=CODE).status_code == 200  # what still arrives is answered


def test_a_damaged_replica_answers_503_until_it_is_mended(archive, log, tmp_path):
    replica = Replica(served(archive, poll_seconds=1000), AccessLog(log))
    shown = next(Path(os.environ["MCMFH_CACHE"]).glob("shards/*.shown.arrow"))
    with TestClient(application(replica), LOCAL) as client:
        data = shown.read_bytes()
        shown.write_bytes(data.replace(b"report of i9", b"report of i8"))
        aside = tmp_path / "aside"
        (tmp_path / "archives").rename(aside)
        replica.archive().watcher.sweep()
        for path in ("/v1/items/i9", "/v1/items/i9/image", "/v1/version"):
            refused = client.get(path)
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
        for body in (CODE, {"report": "two nodules"}):
            assert client.post("/v1/search", json=body).status_code == 503
        assert (client.get("/readyz").status_code, client.get("/readyz").json()["status"]) == (503, "damaged")
        assert client.get("/healthz").status_code == 200
        assert 'mcmfh_cache_damage_total{archive="small"} 1.0' in client.get("/metrics").text
        aside.rename(tmp_path / "archives")
        replica.archive().watcher.sweep()
        assert client.get("/readyz").status_code == 200
        assert client.get("/v1/items/i9").json()["report"] == "report of i9"


def test_metrics_and_log_hold_numbers_and_nothing_of_the_request(client, log):
    secret = "Mrs Example, born 1950, has a nodule"
    client.post("/v1/search", json={"report": secret})
    client.get(f"/v1/items/{quote('a/b', safe='')}")
    client.get("/v1/items/Example")
    client.get("/elsewhere/Example")
    text = client.get("/metrics").text
    assert 'mcmfh_requests_total{route="/v1/search",status="200"} 1.0' in text
    assert 'mcmfh_requests_total{route="unmatched",status="404"} 1.0' in text
    assert 'mcmfh_snapshot{archive="small"} 1.0' in text
    assert 'mcmfh_items{archive="small"} 60.0' in text
    assert 'mcmfh_encode_seconds_count{modality="report"} 1.0' in text
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [line["status"] for line in lines if line["event"] == "request"] == [200, 200, 404, 404, 200]
    for word in ("Example", "nodule", "a/b", "file:", "picture"):
        assert word not in log.getvalue()
        assert word not in text
    items = [line["item"] for line in lines if line.get("item")]
    assert len(set(items)) == 2


def test_the_description_names_bodies_and_answers(client):
    document = client.get("/openapi.json").json()
    search = document["paths"]["/v1/search"]["post"]
    bodies = search["requestBody"]["content"]
    assert bodies["multipart/form-data"]["schema"]["properties"]["image"]["format"] == "binary"
    assert "image" not in bodies["application/json"]["schema"]["properties"]
    assert search["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/SearchAnswer")
    references = set(json.dumps(document).split('"#/components/schemas/')[1:])
    named = {reference.partition('"')[0] for reference in references}
    assert named <= set(document["components"]["schemas"])
    assert {"400", "401", "413", "422", "429", "503"} <= set(search["responses"])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "code": st.sampled_from(["0305", "00", "zz"]) | JSON,
        "modality": st.sampled_from(["image", "report"]) | JSON,
        "k": st.integers(-1, 1001) | JSON,
        "target": st.sampled_from(["image", "report", "study"]) | JSON,
        "max_distance": st.integers(-1, 20) | JSON,
        "bits": st.sampled_from([16, 32]) | JSON,
        "where": st.dictionaries(st.sampled_from(["modality", "year"]), JSON, max_size=2) | JSON,
    },
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fields=FIELDS)
def test_generated_queries_never_break_the_endpoint(client, fields):
    answer = client.post("/v1/search", content=json.dumps(fields), headers={"Content-Type": "application/json"})
    assert answer.status_code in (200, 400, 422), (fields, answer.text)
    if answer.status_code == 200:
        answers.SearchAnswer.model_validate(answer.json())
    else:
        assert answer.headers["Content-Type"] == "application/problem+json"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.binary(max_size=200), kind=st.sampled_from(["application/json", "multipart/form-data; boundary=x", "", "x"])
)
def test_hostile_bodies_never_break_the_endpoint(client, body, kind):
    for content in (
        body,
        b'--x\r\nContent-Disposition: form-data; name="image"; filename="f"\r\n\r\n' + body + b"\r\n--x--",
    ):
        answer = client.post("/v1/search", content=content, headers={"Content-Type": kind})
        assert answer.status_code in (200, 400, 422), answer.text


@pytest.mark.parametrize("value", [10**30, -(10**30), 1e308, [2**63], {"min": 2**64}, "a\0b", True, {"max": []}])
def test_any_filter_value_is_answered_or_refused(client, value):
    for column in ("year", "modality"):
        assert client.post("/v1/search", json={**CODE, "where": {column: value}}).status_code in (200, 400)


def test_a_lone_surrogate_is_no_report(client):
    answer = client.post("/v1/search", content=b'{"report": "\\ud800"}', headers={"Content-Type": "application/json"})
    assert answer.status_code == 400


def test_batched_queries_are_answered_as_single_ones(client, archive):
    """Twelve at once, of which one cannot be read: the others get what they would have got alone."""
    replica = Replica(served(archive), AccessLog(io.StringIO()))
    retrieval = replica.archive().current
    queries = [validated({"report": f"Finding number {n} " + "in the lung " * n}) for n in range(8)]
    queries += [validated({"image": picture(), "report": "both"}), validated({"code": "0305", "modality": "image"})]
    queries += [validated({"image": b"no picture"})]

    async def scene():
        return await asyncio.gather(*(replica.search_answer(query) for query in queries), return_exceptions=True)

    *together, unreadable = asyncio.run(scene())
    assert type(unreadable).__name__ == "DecodeError"
    assert together == [retrieval.answer(query) for query in queries[:-1]]
    passes = replica.metrics.text().decode()
    assert 'mcmfh_encode_batch_sum{modality="report"} 9.0' in passes
    count = next(line for line in passes.splitlines() if line.startswith('mcmfh_encode_batch_count{modality="report"}'))
    assert float(count.split()[-1]) < 9
