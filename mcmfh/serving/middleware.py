"""The door in front of every route: key, rate, room, time; then counted and logged, whatever became of the request.

Plain ASGI, because it runs for every request. /healthz and /readyz pass always, so that a full house is not a dead one.
"""

import asyncio
import time
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcmfh.serving.access import Access, Refused
from mcmfh.serving.access_log import Journal, pseudonym
from mcmfh.serving.metrics import Metrics
from mcmfh.serving.problems import problem

OPEN = {"/healthz", "/readyz"}


class Gate:
    """`max_waiting` requests are inside at a time, each for at most `timeout` seconds.

    `pages`: path → page and headers, for a browser without a key.
    """

    def __init__(
        self,
        app: ASGIApp,
        access: Access,
        metrics: Metrics,
        journal: Journal,
        max_waiting: int,
        timeout: float,
        pages: dict[str, tuple[bytes, dict[str, str]]],
    ):
        self.app, self.access, self.metrics, self.journal = app, access, metrics, journal
        self.max_waiting, self.timeout, self.pages = max_waiting, timeout, pages
        self.inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        started, status = time.perf_counter(), 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        facts: dict[str, Any] = {}
        try:
            if scope["path"] in OPEN:
                await self.app(scope, receive, watched)
            else:
                facts["key"] = self.access.admit(Headers(scope=scope).get("authorization"))
                await self._inside(scope, receive, watched)
        except Refused as refusal:
            await self._refuse(refusal, scope, receive, watched)
        except Exception as error:
            facts["error"] = type(error).__name__
            if not status:
                answer = problem(500, "Fault of the endpoint", "something went wrong here; the log has its kind")
                await answer(scope, receive, watched)
        finally:
            self._record(scope, status, time.perf_counter() - started, facts)

    async def _inside(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.inside >= self.max_waiting:
            raise Refused(503, "the endpoint is busy; try again in a second", {"Retry-After": "1"})
        self.inside += 1
        self.metrics.in_flight.set(self.inside)
        try:
            async with asyncio.timeout(self.timeout):
                await self.app(scope, receive, send)
        except TimeoutError:
            detail = f"no answer within {self.timeout:g} s; try again"
            raise Refused(503, detail, {"Retry-After": "1"}) from None
        finally:
            self.inside -= 1
            self.metrics.in_flight.set(self.inside)

    async def _refuse(self, refusal: Refused, scope: Scope, receive: Receive, send: Send) -> None:
        if refusal.status == 401 and scope["path"] in self.pages and scope["method"] == "GET":
            # A page is empty until it has a key, and asks for it.
            html, headers = self.pages[scope["path"]]
            await HTMLResponse(html, 401, {**headers, **refusal.headers})(scope, receive, send)
        else:
            titles = {401: "Key needed", 429: "Too many requests", 503: "Busy"}
            answer = problem(refusal.status, titles[refusal.status], refusal.detail, refusal.headers)
            await answer(scope, receive, send)

    def _record(self, scope: Scope, status: int, seconds: float, facts: dict[str, Any]) -> None:
        # The route's pattern: an address may name an item.
        route = getattr(scope.get("route"), "path", None) or (scope["path"] if scope["path"] in OPEN else "unmatched")
        self.metrics.answered(route, status, seconds)
        if scope["path"] in OPEN:
            return
        item = scope.get("path_params", {}).get("item_id")
        self.journal.write(
            "request",
            {
                "route": route,
                "status": status,
                "ms": round(1000 * seconds, 2),
                "item": pseudonym(item) if item is not None else None,
                **facts,
            },
        )
