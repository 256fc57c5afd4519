"""The middleware in front of every route: checks key (or origin) and rate, bounds concurrency and time, counts, logs.

It is plain ASGI, because it runs for every request. /healthz and /readyz always pass, so that a busy replica is not
taken for a dead one.
"""

import asyncio
import time
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcmfh.serving.access import Access, Refused, check_role
from mcmfh.serving.access_log import AccessLog
from mcmfh.serving.headers import add_headers, is_https
from mcmfh.serving.metrics import Metrics
from mcmfh.serving.origin import check_origin
from mcmfh.serving.problems import problem
from mcmfh.serving.roles import CALLER

UNGUARDED = {"/healthz", "/readyz"}


class AccessMiddleware:
    """At most `max_waiting` requests are in flight at a time, each for at most `timeout` seconds.

    pages: path → (HTML, headers) of the pages that a browser without a key gets.
    """

    def __init__(
        self,
        app: ASGIApp,
        access: Access,
        metrics: Metrics,
        access_log: AccessLog,
        max_waiting: int,
        timeout: float,
        pages: dict[str, tuple[bytes, dict[str, str]]],
    ):
        self.app, self.access, self.metrics, self.access_log = app, access, metrics, access_log
        self.max_waiting, self.timeout, self.pages = max_waiting, timeout, pages
        self.in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        started, status = time.perf_counter(), 0
        headers = Headers(scope=scope)
        https = is_https(scope.get("scheme", "http"), headers)

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                add_headers(message, https)
            await send(message)

        facts: dict[str, Any] = {}
        try:
            if scope["path"] in UNGUARDED:
                await self.app(scope, receive, send_and_note)
            else:
                if self.access.keys() is None:
                    check_origin(scope["method"], headers)
                scope[CALLER] = caller = await self.access.admit(headers.get("authorization"))
                facts["key"] = caller.name
                check_role(caller, scope["path"])
                await self._bounded(scope, receive, send_and_note)
        except Refused as refusal:
            await self._refuse(refusal, scope, receive, send_and_note)
        except Exception as error:
            facts["error"] = type(error).__name__
            if not status:
                answer = problem(500, "Fault of the endpoint", "something went wrong here; the log has its kind")
                await answer(scope, receive, send_and_note)
        finally:
            self._record(scope, status, time.perf_counter() - started, facts)

    async def _bounded(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.in_flight >= self.max_waiting:
            raise Refused(503, "the endpoint is busy; try again in a second", {"Retry-After": "1"})
        self.in_flight += 1
        self.metrics.in_flight.set(self.in_flight)
        try:
            async with asyncio.timeout(self.timeout):
                await self.app(scope, receive, send)
        except TimeoutError:
            detail = f"no answer within {self.timeout:g} s; try again"
            raise Refused(503, detail, {"Retry-After": "1"}) from None
        finally:
            self.in_flight -= 1
            self.metrics.in_flight.set(self.in_flight)

    async def _refuse(self, refusal: Refused, scope: Scope, receive: Receive, send: Send) -> None:
        if refusal.status == 401 and scope["path"] in self.pages and scope["method"] == "GET":
            # The page asks for the key; it holds no data without one.
            html, headers = self.pages[scope["path"]]
            await HTMLResponse(html, 401, {**headers, **refusal.headers})(scope, receive, send)
        else:
            titles = {401: "Key needed", 403: "Refused", 404: "Not found", 429: "Too many requests", 503: "Busy"}
            answer = problem(refusal.status, titles[refusal.status], refusal.detail, refusal.headers)
            await answer(scope, receive, send)

    def _record(self, scope: Scope, status: int, seconds: float, facts: dict[str, Any]) -> None:
        # The route's pattern, because a path may hold an item's id.
        route = getattr(scope.get("route"), "path", None) or (
            scope["path"] if scope["path"] in UNGUARDED else "unmatched"
        )
        self.metrics.count_request(route, status, seconds)
        if scope["path"] in UNGUARDED:
            return
        item = scope.get("path_params", {}).get("item_id")
        self.access_log.write(
            "request",
            {
                "route": route,
                "status": status,
                "ms": round(1000 * seconds, 2),
                "item": self.access_log.pseudonym(item) if item is not None else None,
                **facts,
            },
        )
