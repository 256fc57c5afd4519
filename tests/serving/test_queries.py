"""Requests become queries, or one sentence that names what is wrong with them."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from mcmfh.client import multipart
from mcmfh.errors import InputError
from mcmfh.serving.queries import JSON_BYTES, BodyTooLarge, read_query


def request(body: bytes, kind: str, piece: int = 1000) -> Request:
    pieces = [body[i : i + piece] for i in range(0, len(body), piece)] or [b""]
    messages = [
        {"type": "http.request", "body": part, "more_body": i < len(pieces) - 1} for i, part in enumerate(pieces)
    ]

    async def receive():
        return messages.pop(0)

    headers = [(b"content-type", kind.encode())]
    return Request({"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": headers}, receive)


def parsed(body: bytes, kind: str = "application/json", limit: int = 10**6):
    return asyncio.run(read_query(request(body, kind), limit))


def test_json_and_multipart_mean_the_same():
    fields = {"report": "two nodules", "k": 3, "where": {"modality": ["CT"]}, "target": "study"}
    by_json = parsed(json.dumps(fields).encode())
    body, kind = multipart(b"\x89PNG-bytes", fields)
    by_form = parsed(body, kind)
    assert by_form.image == b"\x89PNG-bytes"
    assert by_form.model_copy(update={"image": None}) == by_json


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data"])
def test_a_large_body_is_refused_while_it_arrives(kind):
    """No more is read than shows that the body is too large."""
    body = b"x" * 50_000
    if kind == "multipart/form-data":
        body, kind = multipart(body, {})
    received = []

    async def receive():
        received.append(1)
        start = 1000 * (len(received) - 1)
        return {"type": "http.request", "body": body[start : start + 1000], "more_body": start + 1000 < len(body)}

    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b""}
    arriving = Request({**scope, "headers": [(b"content-type", kind.encode())]}, receive)
    with pytest.raises(BodyTooLarge):
        asyncio.run(read_query(arriving, 2000))
    assert len(received) == 3


def test_a_body_that_is_too_large_by_its_own_statement_is_not_read():
    async def receive():
        pytest.fail("the body was read")

    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b""}
    stated = Request({**scope, "headers": [(b"content-length", b"2001")]}, receive)
    with pytest.raises(BodyTooLarge):
        asyncio.run(read_query(stated, 2000))


def test_a_body_of_the_allowed_size_is_read():
    body = json.dumps({"report": "x" * 1900}).encode()
    assert parsed(body, limit=len(body)).report == "x" * 1900
    with pytest.raises(BodyTooLarge):
        parsed(body, limit=len(body) - 1)


@given(st.binary(max_size=300))
def test_hostile_json_is_an_input_error_or_a_query(body):
    try:
        parsed(body)
    except InputError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (json.dumps({"report": "x", "where": {"year": "9" * JSON_BYTES}}).encode(), "application/json"),
        (b"[" * (JSON_BYTES + 1), "application/json"),
        (b"x" * (JSON_BYTES + 1), "text/plain"),
        multipart(b"x" * 10, {"report": "x", "where": {"a": "9" * (JSON_BYTES // 2)}, "k": "9" * (JSON_BYTES // 2)}),
    ],
    ids=["object", "array", "text", "fields"],
)
def test_json_and_fields_are_small_whatever_an_image_may_weigh(body, kind):
    with pytest.raises(BodyTooLarge, match="512 KB"):
        parsed(body, kind, limit=32 * 2**20)


def test_an_image_is_no_json():
    body, kind = multipart(b"x" * (2 * JSON_BYTES), {"report": "two nodules"})
    assert len(parsed(body, kind, limit=32 * 2**20).image) == 2 * JSON_BYTES


@pytest.mark.parametrize("large", [False, True])
def test_large_bodies_are_parsed_beside_the_event_loop(large):
    threads = []

    async def ask():
        report = "two nodules " * (1000 if large else 1)
        loop = asyncio.get_running_loop()
        loop.set_default_executor(executor := ThreadPoolExecutor(1, initializer=lambda: threads.append(1)))
        query = await read_query(request(json.dumps({"report": report}).encode(), "application/json"), 10**6)
        executor.shutdown()
        return query.report

    assert asyncio.run(ask()).startswith("two nodules")
    assert len(threads) == large
