"""Errors as RFC 9457 problem details: one clear sentence, without stack traces and without content of the request."""

from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from mcmfh.archive.images import DecodeError
from mcmfh.errors import InputError
from mcmfh.serving.replica import BadScope
from mcmfh.serving.served import Unavailable


def problem(status: int, title: str, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    detail = detail.encode("utf-8", "backslashreplace").decode()  # a name in the request may hold half a character
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return JSONResponse(body, status, headers, media_type="application/problem+json")


def install(app: FastAPI) -> None:
    """Make `app` answer every error with a problem document."""

    @app.exception_handler(InputError)
    async def bad_input(request: Request, error: InputError) -> JSONResponse:
        return problem(400, "Bad request", str(error))

    @app.exception_handler(DecodeError)
    async def bad_image(request: Request, error: DecodeError) -> JSONResponse:
        return problem(422, "Unreadable query", f"the query cannot be read: {error}")

    @app.exception_handler(Unavailable)
    async def unavailable(request: Request, error: Unavailable) -> JSONResponse:
        return problem(503, "Unavailable", str(error), {"Retry-After": "5"})

    @app.exception_handler(BadScope)
    async def bad_scope(request: Request, error: BadScope) -> JSONResponse:
        return problem(403, "Refused", str(error))

    @app.exception_handler(RequestValidationError)
    async def bad_shape(request: Request, error: RequestValidationError) -> JSONResponse:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        return problem(422, "Bad request", f"{where}: {fault['msg']}")

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        return problem(error.status_code, "Request refused", str(error.detail), error.headers)
