"""Members of containers: zip, tar (plain or compressed), gz, and files of many reports (ndjson, HL7 batches).

A member is addressed as `<container>!/<name>`; one report of many as `<container>!/<first byte>-<end>`. Of a zip, a
plain tar and a file of reports only the member is read; a compressed tar is read up to it.
"""

import gzip
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from functools import lru_cache

from mcmfh.archive.addresses import CONTAINERS, GZ, MEMBER, TARS, ZIPS, container_of, member_of
from mcmfh.archive.limits import DecodeError
from mcmfh.store import files

_RANGE = re.compile(r"(\d+)-(\d+)\Z")
_MOST_MEMBERS = 1_000_000


def is_container(name: str) -> bool:
    """Whether the ending of a file's name says that it holds other files."""
    return name.lower().endswith(CONTAINERS)


def members(uri: str) -> Iterator[str]:
    """Addresses of the files in the container at `uri`. Raises DecodeError where it cannot be read."""
    name = uri.lower()
    if name.endswith(GZ) and not name.endswith(TARS):
        yield f"{uri}{MEMBER}{uri.rpartition('/')[2][:-3]}"
        return
    try:
        listed = list(_zip_names(uri) if name.endswith(ZIPS) else _tar_places(uri, files.version(uri)))
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, RuntimeError, ValueError):
        raise DecodeError("archive file cannot be read") from None
    if len(listed) > _MOST_MEMBERS:
        raise DecodeError("archive file has more members than the limit")
    hidden = ("__MACOSX/", "._")
    yield from (f"{uri}{MEMBER}{one}" for one in listed if not one.startswith(hidden) and "/._" not in one)


def read_member(uri: str, end: int) -> bytes:
    """At most `end` bytes of the member that `uri` addresses. Raises DecodeError, FileNotFoundError."""
    container, member = container_of(uri), member_of(uri) or ""
    name = container.lower()
    try:
        if name.endswith(ZIPS):
            with files.open_file(container) as file, zipfile.ZipFile(file) as archive, archive.open(member) as inner:
                return inner.read(end)
        if name.endswith(TARS):
            return _read_from_tar(container, member, end)
        if name.endswith(GZ):
            with files.open_file(container) as file, gzip.open(file) as inner:
                return inner.read(end)
    except KeyError:
        raise FileNotFoundError(member) from None
    except RuntimeError:  # of zipfile: a password is needed
        raise DecodeError("archive file is encrypted") from None
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError):
        raise DecodeError("archive file cannot be read") from None
    if (place := _RANGE.fullmatch(member)) and int(place[1]) <= int(place[2]):
        return files.read(container, int(place[1]), min(int(place[2]), int(place[1]) + end))
    raise FileNotFoundError(member)


def _zip_names(uri: str) -> Iterator[str]:
    with files.open_file(uri) as file, zipfile.ZipFile(file) as archive:
        yield from (info.filename for info in archive.infolist() if not info.is_dir())


@lru_cache(maxsize=8)
def _tar_places(uri: str, version: str) -> dict[str, tuple[int, int]]:
    """Name → (first byte, size) of the regular files of a tar; the bytes are those of the unpacked one."""
    mode = "r:" if uri.lower().endswith(".tar") else "r:*"
    with files.open_file(uri) as file, tarfile.open(fileobj=file, mode=mode) as archive:  # type: ignore[call-overload]
        return {info.name: (info.offset_data, info.size) for info in archive if info.isreg() and not info.issparse()}


def _read_from_tar(uri: str, member: str, end: int) -> bytes:
    start, size = _tar_places(uri, files.version(uri))[member]
    if uri.lower().endswith(".tar"):
        return files.read(uri, start, start + min(size, end))
    with files.open_file(uri) as file, tarfile.open(fileobj=file, mode="r:*") as archive:
        inner = archive.extractfile(archive.getmember(member))
        return inner.read(end) if inner else b""
