"""Addresses of files: the ways in which one is written, and members of containers.

A member of a zip or tar file, the file inside a .gz, or one report of a file of many is addressed as
`<container>!/<member>`.
"""

import unicodedata
from collections.abc import Iterator
from itertools import product
from typing import Literal
from urllib.parse import unquote

MEMBER = "!/"
_FORMS: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")


def spellings(uri: str) -> Iterator[str]:
    """`uri` first, then what else it may mean: file://localhost, %20, backslashes, composed and decomposed letters."""
    if uri.lower().startswith("file://localhost/"):
        uri = "file://" + uri[len("file://localhost") :]
    yield uri
    seen = {uri}
    for decoded, slashes, form in product((False, True), (False, True), (None, *_FORMS)):
        other = unquote(uri) if decoded else uri
        other = other.replace("\\", "/") if slashes else other
        other = unicodedata.normalize(form, other) if form else other
        if other not in seen and "\0" not in other:
            seen.add(other)
            yield other


def container_of(uri: str) -> str:
    """The file that holds what `uri` addresses: the container of a member, else `uri` itself."""
    return uri.partition(MEMBER)[0]


def member_of(uri: str) -> str | None:
    """The member that `uri` addresses in its container; None where it addresses a file."""
    _, mark, member = uri.partition(MEMBER)
    return member if mark else None
