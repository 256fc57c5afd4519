"""Addresses of files: the ways in which one is written, and members of containers.

A member of a zip or tar file, the file inside a .gz, or one report of a file of many is addressed as
`<container>!/<member>`.
"""

import re
import unicodedata
from collections.abc import Iterator
from itertools import product
from typing import Literal
from urllib.parse import unquote

MEMBER = "!/"
ZIPS, TARS, GZ = (".zip",), (".tar", ".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz"), (".gz",)
CONTAINERS = (*ZIPS, *TARS, *GZ)
_RANGE = re.compile(r"\d+-\d+\Z")
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
    return _parts(uri)[0]


def member_of(uri: str) -> str | None:
    """The member that `uri` addresses in its container; None where it addresses a file."""
    return _parts(uri)[1]


def _parts(uri: str) -> tuple[str, str | None]:
    """(file, member in it). A container has an ending, or the member is a range of bytes: a folder may be called so!"""
    for match in re.finditer(MEMBER, uri):
        holder, member = uri[: match.start()], uri[match.end() :]
        if holder.lower().endswith(CONTAINERS) or _RANGE.match(member):
            return holder, member
    return uri, None
