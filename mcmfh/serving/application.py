"""The HTTP application of a replica: routes, their OpenAPI description and the middleware. Runs under any ASGI server.

uvicorn.run(application(Replica(config)), host="127.0.0.1", port=8000)
"""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any
from urllib.parse import quote, unquote

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi import Query as Parameter
from fastapi.responses import HTMLResponse
from pydantic_core import to_json

from mcmfh.search.query import Query
from mcmfh.search.view import View
from mcmfh.serving import answers, problems
from mcmfh.serving.access import Access
from mcmfh.serving.answers import problems as refusals
from mcmfh.serving.auditing import Auditing
from mcmfh.serving.keys import KeyRing
from mcmfh.serving.middleware import AccessMiddleware
from mcmfh.serving.page import page
from mcmfh.serving.queries import BodyTooLarge, read_query
from mcmfh.serving.quotas import Quotas
from mcmfh.serving.rates import Leases
from mcmfh.serving.replica import Replica
from mcmfh.serving.roles import CALLER, Caller
from mcmfh.serving.tokens import Tokens
from mcmfh.store.layout import archive_root
from mcmfh.store.outages import is_outage

GUARDED = refusals(401, 403, 429, 503)
QUERY = {**GUARDED, **refusals(400, 404, 413, 422)}
Named = Annotated[str | None, Parameter(description="which archive, where the endpoint serves several")]


def application(replica: Replica, rates: Leases | None = None) -> FastAPI:
    """The ASGI application of `replica`: starts and stops it with its own lifespan.

    rates: how often a key may send requests; by default they are counted here.
    """
    settings = replica.config.serve
    key_ring = KeyRing(settings, replica.report)
    audit = Auditing(replica.config, replica.report)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        key_ring.start()
        quotas.start()
        if tokens:
            tokens.start()
        audit.start()
        replica.start()
        yield
        replica.stop()
        key_ring.stop()
        quotas.stop()
        if tokens:
            tokens.stop()
        audit.stop()

    api = FastAPI(
        title="mcmfh",
        summary="Exact cross-modal retrieval of medical images and reports",
        version="1",
        lifespan=lifespan,
        redirect_slashes=False,
        docs_url=None,  # FastAPI's pages load scripts from other hosts
        redoc_url=None,
    )
    api.state.key_ring = key_ring
    problems.install(api)
    (html, page_headers), (docs, docs_headers) = page(oidc=settings.oidc), page("docs")
    served = replica.config.served_archives
    # A key's quota is of the endpoint, not of an archive: the first one keeps the counts of all.
    quotas = Quotas(archive_root(replica.config.store, served[0]), settings.poll_seconds, replica.report)
    tokens = Tokens(settings.oidc, replica.report) if settings.oidc.issuer else None
    access = Access(lambda: key_ring.keys, rates, served, quotas, tokens=tokens)
    api.add_middleware(
        AccessMiddleware,
        access=access,
        metrics=replica.metrics,
        access_log=replica.access_log,
        max_waiting=settings.max_waiting,
        timeout=settings.timeout_seconds,
        pages={"/": (html, page_headers), "/docs": (docs, docs_headers)},
    )

    async def query_of(request: Request) -> Query:
        try:
            return await read_query(request, settings.max_body_mb * 2**20)
        except BodyTooLarge as error:
            raise HTTPException(413, f"the request is larger than {error}") from None

    body: dict[str, Any] = {"openapi_extra": answers.query_body(), "responses": QUERY}

    @api.post("/v1/search", response_model=answers.SearchAnswer, **body)
    async def search(request: Request) -> Response:
        """Nearest reports, images or studies: multipart image=@file and/or report, or JSON."""
        query, started = await query_of(request), time.perf_counter()
        archive = chosen(request, query.archive, served)
        answer = await replica.search_answer(query, view_of(request), archive)
        audit.answered(request, archive, answer)
        milliseconds = 1000 * (time.perf_counter() - started)
        return rendered(answer, {"Server-Timing": f"search;dur={milliseconds:.2f}"})

    @api.post("/v1/hash", response_model=answers.HashAnswer, **body)
    async def hash(request: Request) -> Response:
        """The same query → its code."""
        query = await query_of(request)
        archive = chosen(request, query.archive, served)
        answer = await replica.hash_answer(query, archive)
        audit.hashed(request, archive, answer)
        return rendered(answer)

    async def item_answer(request: Request, item_id: str, named: str | None) -> Response:
        view, archive = view_of(request), chosen(request, named, served)
        retrieval = await replica.for_view(view, archive)
        fields = await replica.in_thread(retrieval.item, item_id, view)
        if fields is None:
            raise HTTPException(404, "no such item in this snapshot")
        audit.opened(request, archive, "item", retrieval, fields)
        return rendered({**retrieval.named, "snapshot": retrieval.snapshot.number, **fields})

    @api.get(
        "/v1/items/{item_id:path}/image",
        response_class=Response,
        responses={**GUARDED, **refusals(404, 422), 200: {"content": {"image/jpeg": {}}, "description": "a JPEG"}},
    )
    async def image(request: Request, item_id: str, archive: Named = None) -> Response:
        """A thumbnail (JPEG)."""
        item_id, of_picture = parsed_address(request)
        if not of_picture:  # the id itself ends in /image
            return await item_answer(request, item_id, archive)
        view, name = view_of(request), chosen(request, archive, served)
        retrieval = await replica.for_view(view, name)
        try:
            picture = await replica.in_thread(retrieval.thumbnail, item_id, view)
        except Exception as error:
            if not (isinstance(error, OSError) or is_outage(error)):
                raise
            raise HTTPException(503, "the archive's store does not answer; try again", {"Retry-After": "5"}) from None
        if picture is None:
            raise HTTPException(404, "no such picture in this snapshot")
        if audit.records:
            shown = await replica.in_thread(retrieval.item, item_id, view)
            audit.opened(request, name, "image", retrieval, shown or {"item_id": item_id, "study_id": ""})
        return Response(picture, media_type="image/jpeg")

    @api.get("/v1/items/{item_id:path}", response_model=answers.ItemAnswer, responses={**GUARDED, **refusals(404, 422)})
    async def item(request: Request, item_id: str, archive: Named = None) -> Response:
        """What may be shown of an item; percent-encode its id."""
        return await item_answer(request, parsed_address(request)[0], archive)

    @api.get("/v1/version", response_model=answers.Version, responses={**GUARDED, **refusals(404, 422)})
    async def version(request: Request, archive: Named = None) -> Response:
        """Snapshot, model and encoder that answer, what can be filtered by, and which archives this key may ask."""
        view = view_of(request)
        retrieval = await replica.for_view(view, chosen(request, archive, served))
        described = await replica.in_thread(retrieval.version_of, view)
        return rendered({**described, "archives": caller_of(request).among(served), "keys": key_ring.version})

    @api.get("/", response_class=HTMLResponse, responses=GUARDED, include_in_schema=False)
    async def search_page() -> HTMLResponse:
        return HTMLResponse(html, headers=page_headers)

    @api.get("/docs", response_class=HTMLResponse, include_in_schema=False)
    async def documentation() -> HTMLResponse:
        return HTMLResponse(docs, headers=docs_headers)

    @api.get("/metrics", include_in_schema=False)
    async def metrics(request: Request) -> Response:
        if len(caller_of(request).among(served)) < len(served):
            raise HTTPException(403, "the metrics are of all archives, and your key opens some of them")
        return Response(replica.metrics_text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @api.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Alive."""
        return {"status": "alive"}

    @api.get("/readyz", responses={503: {"description": "about to stop, or damaged"}})
    async def readyz() -> Response:
        """Whether requests should be sent here; names the snapshot, and one that could not be taken over."""
        return rendered(replica.readiness(), status=200 if replica.ready else 503)

    with_problem_schema(api)
    return api


def caller_of(request: Request) -> Caller:
    """Who sent the request."""
    caller: Caller = request.scope[CALLER]
    return caller


def view_of(request: Request) -> View:
    """What the caller may see."""
    return caller_of(request).view


def chosen(request: Request, archive: str | None, served: Sequence[str]) -> str:
    """The name of the archive that a request asks: the one it names, or the first that its caller may ask.

    Raises HTTPException (404) for others: whether they exist is not said.
    """
    allowed = caller_of(request).among(served)
    if archive is None:
        return allowed[0]
    if archive not in allowed:
        raise HTTPException(404, f"there is no such archive for you; ask one of {', '.join(allowed)}")
    return archive


def parsed_address(request: Request) -> tuple[str, bool]:
    """(item_id, whether its picture is meant), from the path before percent-decoding: an id may hold any character.

    /v1/items/a%2Fimage is the item "a/image", /v1/items/a/image the picture of "a". An unencoded
    semicolon at the end is no part of the id (see `item_path`).
    """
    sent = (request.scope.get("raw_path") or quote(request.scope["path"]).encode()).decode("ascii", "replace")
    name = sent.partition("/v1/items/")[2]
    of_picture = name.endswith("/image")
    return unquote((name.removesuffix("/image") if of_picture else name).removesuffix(";")), of_picture


def rendered(content: Any, headers: dict[str, str] | None = None, status: int = 200) -> Response:
    """`content` as JSON: dates as ISO strings, NaN and infinities as null."""
    return Response(to_json(content, inf_nan_mode="null", fallback=str), status, headers, "application/json")


def with_problem_schema(api: FastAPI) -> None:
    """Add the schema of problem documents, which the routes refer to, to the OpenAPI components."""
    document = api.openapi()
    document["components"]["schemas"]["Problem"] = answers.Problem.model_json_schema()
