"""A request's body → a validated query. The API takes bytes, never URIs."""

import json
from typing import Any

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.types import Message

from mcmfh.errors import InputError
from mcmfh.search.query import Query, validated


class BodyTooLarge(Exception):
    """A request's body has more bytes than allowed."""


async def read_query(request: Request, max_bytes: int) -> Query:
    """The query in a body of JSON or multipart/form-data of at most `max_bytes`. Raises InputError, BodyTooLarge."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    request = bounded(request, max_bytes)
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
            body = await request.body()
            if kind != "application/json":  # a page of another site may send other types without being asked for leave
                raise InputError("the request's Content-Type must be application/json or multipart/form-data")
            values = json.loads(body)
            if isinstance(values, dict):
                values.pop("image", None)
    except InputError:
        raise
    except (ValueError, RecursionError) as error:  # also of a number with more digits than Python reads
        raise InputError('the request is not valid JSON; send {"report": …} or multipart with image=@file') from error
    return validated(values)


def bounded(request: Request, max_bytes: int) -> Request:
    """The same request; reading its body raises BodyTooLarge as soon as more than `max_bytes` have arrived.

    Raises BodyTooLarge at once where the header Content-Length states more.
    """
    stated = request.headers.get("content-length", "")
    if stated.isdecimal() and int(stated) > max_bytes:
        raise BodyTooLarge
    received = 0

    async def receive() -> Message:
        nonlocal received
        message = await request.receive()
        received += len(message.get("body", b""))
        if received > max_bytes:
            raise BodyTooLarge
        return message

    return Request(request.scope, receive)
