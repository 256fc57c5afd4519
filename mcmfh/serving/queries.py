"""A request → a validated query. The API takes bytes, never addresses."""

import json
from typing import Any

from fastapi import Request
from starlette.datastructures import UploadFile

from mcmfh.errors import InputError
from mcmfh.search.query import Query, validated


async def read_query(request: Request, max_bytes: int) -> Query:
    """Parse JSON or multipart/form-data, reading at most `max_bytes`. Raises InputError, BodyTooLarge."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    await _bounded(request, max_bytes)
    try:
        if kind == "multipart/form-data":
            values: dict[str, Any] = {}
            async with request.form(max_files=1, max_fields=20, max_part_size=1 << 20) as form:
                for name, value in form.multi_items():
                    values[name] = await value.read() if isinstance(value, UploadFile) else value
            values = {name: value for name, value in values.items() if value != ""}
            if "where" in values:
                values["where"] = json.loads(values["where"])
        else:
            values = json.loads(await request.body())
            if isinstance(values, dict):
                values.pop("image", None)
    except (ValueError, RecursionError) as error:  # also of a number with more digits than Python reads
        raise InputError('the request is not valid JSON; send {"report": …} or multipart with image=@file') from error
    return validated(values)


class BodyTooLarge(Exception):
    pass


async def _bounded(request: Request, max_bytes: int) -> None:
    """Read the body into the request, refusing as soon as it is larger than allowed."""
    stated = request.headers.get("content-length", "")
    if stated.isdecimal() and int(stated) > max_bytes:
        raise BodyTooLarge
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > max_bytes:
            raise BodyTooLarge
    request._body = bytes(received)
    request._stream_consumed = False

    async def replay() -> dict[str, Any]:
        return {"type": "http.request", "body": request._body, "more_body": False}

    request._receive = replay
