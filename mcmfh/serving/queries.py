"""A request's body → a validated query. The API takes bytes, never URIs.

What is parsed is small: JSON_BYTES of JSON, or of form fields. An image is not parsed here and may be larger. A body
that takes more than a moment is parsed on a thread, so that other requests, health checks among them, do not wait.
"""

import asyncio
import json
from typing import Any

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.types import Message

from mcmfh.errors import InputError
from mcmfh.search.query import Query, validated

UNREADABLE = 'the request is not valid JSON; send {"report": …} or multipart with image=@file'
JSON_BYTES = 512 * 2**10
QUICK_BYTES = 4 * 2**10  # parsed on the event loop, in less time than passing the call to a thread takes


class BodyTooLarge(Exception):
    """A request's body has more bytes than allowed; the message says what may be sent."""


async def read_query(request: Request, max_bytes: int) -> Query:
    """The query in a body of JSON, or of multipart/form-data of at most `max_bytes`.

    Raises InputError, DecodeError, BodyTooLarge.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _form_query(bounded(request, max_bytes, f"{max_bytes / 2**20:g} MB; send a smaller image"))
    most = min(max_bytes, JSON_BYTES)
    body = await bounded(request, most, f"{most // 2**10} KB of JSON; send less, and images as multipart").body()
    if kind != "application/json":  # a page of another site may send other types without being asked for leave
        raise InputError("the request's Content-Type must be application/json or multipart/form-data")
    return await _parsed(len(body), {}, body)


async def _form_query(request: Request) -> Query:
    values: dict[str, Any] = {}
    try:
        async with request.form(max_files=1, max_fields=20, max_part_size=JSON_BYTES) as form:
            for name, value in form.multi_items():
                values[name] = await value.read() if isinstance(value, UploadFile) else value
    except ValueError as error:
        raise InputError(UNREADABLE) from error
    values = {name: value for name, value in values.items() if value != ""}
    size = sum(len(value) for name, value in values.items() if name != "image")
    if size > JSON_BYTES:
        raise BodyTooLarge(f"{JSON_BYTES // 2**10} KB in its fields; send less")
    return await _parsed(size, values, None)


async def _parsed(size: int, values: dict[str, Any], body: bytes | None) -> Query:
    if size <= QUICK_BYTES:
        return _query(values, body)
    return await asyncio.to_thread(_query, values, body)


def _query(values: Any, body: bytes | None) -> Query:
    """The query with the fields `values` of a form, or in a body of JSON."""
    try:
        if body is not None:
            values = json.loads(body)
            if isinstance(values, dict):
                values.pop("image", None)
        elif "where" in values:
            values["where"] = json.loads(values["where"])
    except (ValueError, RecursionError) as error:  # also of a number with more digits than Python reads
        raise InputError(UNREADABLE) from error
    return validated(values)


def bounded(request: Request, max_bytes: int, most: str) -> Request:
    """The same request; reading its body raises BodyTooLarge as soon as more than `max_bytes` have arrived.

    Raises BodyTooLarge at once where the header Content-Length states more. `most` is its message.
    """
    stated = request.headers.get("content-length", "")
    if stated.isdecimal() and int(stated) > max_bytes:
        raise BodyTooLarge(most)
    received = 0

    async def receive() -> Message:
        nonlocal received
        message = await request.receive()
        received += len(message.get("body", b""))
        if received > max_bytes:
            raise BodyTooLarge(most)
        return message

    return Request(request.scope, receive)
