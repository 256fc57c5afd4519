"""Ray Serve's own 404 becomes 503, and the endpoint's own answers pass."""

import asyncio

import pytest
from ray.serve._private.http_util import validate_http_proxy_callback_return
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from support.asgi import asked

from mcmfh.ray_session import CALLBACK, LOCAL_ENVIRONMENT
from mcmfh.serving.headers import ALWAYS
from mcmfh.serving.problems import problem
from mcmfh.serving.unrouted import Unrouted, middlewares


@pytest.mark.parametrize(
    "answer",
    [
        PlainTextResponse("Path '/v1/search' not found. Ping http://.../-/routes for available routes.", 404),
        JSONResponse({"detail": "Not Found"}, 404),
        StreamingResponse(iter([b"Path ", b"not found"]), 404),
    ],
    ids=["text", "JSON", "stream"],
)
def test_ray_s_own_404_is_a_problem_document_of_503(answer):
    status, headers = asyncio.run(asked(Unrouted(answer)))
    assert status == 503
    assert headers[b"content-type"] == b"application/problem+json"
    assert headers[b"retry-after"] == b"5"
    for name, value in ALWAYS.items():
        assert headers[name.lower().encode()] == value.encode()


@pytest.mark.parametrize(
    "answer",
    [problem(404, "Request refused", "no such item in this snapshot"), JSONResponse({}), PlainTextResponse("", 500)],
    ids=["an item's 404", "200", "500"],
)
def test_what_the_endpoint_answers_passes(answer):
    assert asyncio.run(asked(Unrouted(answer)))[0] == answer.status_code


def test_ray_serve_takes_the_middleware_where_it_is_named():
    assert LOCAL_ENVIRONMENT[CALLBACK] == f"{middlewares.__module__}:{middlewares.__name__}"
    assert validate_http_proxy_callback_return(middlewares())
