"""What Ray Serve's own proxy answers where no application runs, as while an endpoint stops: 503 instead of 404.

The proxy calls `middlewares` at its start (see `ray_session`). The endpoint's own 404 is a problem document and passes.
"""

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcmfh.serving.fence import PROBLEM
from mcmfh.serving.headers import ALWAYS

PROBLEM_TYPE = "application/problem+json"


class Unrouted:
    """Middleware that turns a 404 without a problem document into the 503 that the fenced proxy gives."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        replaced = False

        async def send_unless_404(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and message["status"] == 404:
                kind = Headers(raw=message.get("headers", [])).get("content-type", "")
                replaced = not kind.startswith(PROBLEM_TYPE)
            if not replaced:
                await send(message)

        await self.app(scope, receive, send_unless_404)
        if replaced:
            await Response(PROBLEM, 503, {**ALWAYS, "Retry-After": "5"}, PROBLEM_TYPE)(scope, receive, send)


def middlewares() -> list[Middleware]:
    """The middleware, as Ray Serve asks for it."""
    return [Middleware(Unrouted)]
