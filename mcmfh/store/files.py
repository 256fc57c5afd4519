"""The only door to files: URIs in, bytes out, on the local disk and in buckets alike.

Every durable thing of this project is written once and never changed. `create` is therefore the central verb: it
either writes the whole object or reports that another writer already did. In a bucket that is a conditional PUT
(If-None-Match), on a local disk a hard link of a finished temporary file; readers never see half a file.
"""

import contextlib
import errno
import hashlib
import json
import os
import posixpath
import re
import stat
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import fsspec
import pyarrow.fs
from fsspec.implementations.local import LocalFileSystem

from mcmfh.errors import InputError
from mcmfh.store import private
from mcmfh.store.filesystems import SCHEMES as SCHEMES
from mcmfh.store.filesystems import create_object, modified_of, open_scheme, version_of

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")
_PROVEN: set[str] = set()  # buckets that keep an object from being created twice
_PROVING = threading.RLock()


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys and no white space: the one byte string that a digest is taken of."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest(value: Any) -> str:
    """sha256 (hex) of bytes, or of the canonical JSON of anything else."""
    return hashlib.sha256(value if isinstance(value, bytes) else canonical_json(value)).hexdigest()


def is_local(uri: str) -> bool:
    """Whether `uri` is a path, bare or with file://."""
    return "://" not in uri or uri.lower().startswith("file://")


def absolute(uri: str) -> str:
    """`uri` with a scheme in lower case: a bare or file:// path becomes absolute, anything else keeps its path.

    Raises InputError for a scheme with one slash: "s3:/bucket" is meant for S3 and must not become a local folder.
    """
    if (match := _SCHEME.match(uri)) and not uri.startswith(match[0] + "/"):
        if match[1].lower() != "file":
            raise InputError(f"'{uri}' is no address; write {match[1]}:// with two slashes, or ./ before a path")
        uri = f"file://{uri[len(match[0]) - 1 :]}"
    scheme, mark, path = uri.partition("://")
    if not is_local(uri):
        return f"{scheme.lower()}{mark}{path}".rstrip("/")
    return "file://" + str(Path(path if mark else uri).expanduser().absolute())


def resolved(uri: str) -> str:
    """`absolute(uri)` with ".." and, on a disk, links followed: where the bytes really are. Raises InputError."""
    scheme, _, path = absolute(uri).partition("://")
    if scheme == "file":
        return "file://" + os.path.realpath(path)
    return f"{scheme}://{posixpath.normpath('/' + path)[1:]}"


def join(root: str, *parts: str) -> str:
    """`root` and relative parts as one URI. An absolute part, or one with a scheme, replaces all parts before it."""
    for part in parts:
        if "://" in part:
            root = part
        elif part.startswith("/"):
            root = "file://" + part
        else:
            scheme, _, path = root.partition("://")
            root = f"{scheme}://{posixpath.join(path, part)}" if path or "://" in root else posixpath.join(root, part)
    return root


def parent(uri: str) -> str:
    """The folder that holds `uri`."""
    return uri.rpartition("/")[0]


def _open(uri: str) -> tuple[fsspec.AbstractFileSystem, str]:
    uri = absolute(uri)
    scheme, _, path = uri.partition("://")
    return open_scheme(scheme), path


def arrow_filesystem(uri: str) -> tuple[pyarrow.fs.FileSystem | None, str]:
    """(the filesystem, the path in it) for libraries that write through pyarrow; (None, `uri`) on the local disk.

    pyarrow's own S3 client would know neither AWS_CA_BUNDLE nor proxies.
    """
    if is_local(uri):
        return None, uri
    fs, path = _open(uri)
    return pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(fs)), path


def exists(uri: str) -> bool:
    """Whether there is an object or folder at `uri`."""
    fs, path = _open(uri)
    return bool(fs.exists(path))


def read(uri: str, start: int | None = None, end: int | None = None) -> bytes:
    """The bytes of an object, or of its range [start, end). Raises FileNotFoundError."""
    fs, path = _open(uri)
    if isinstance(fs, LocalFileSystem):
        return _read_local(path, start or 0, end)
    data: bytes = fs.cat_file(path, start=start, end=end)
    return data


def _read_local(path: str, start: int, end: int | None) -> bytes:
    """Bytes of a regular file, in half the time of fsspec. A pipe or a device, which may never end, is not read."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        kind = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(kind):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(kind):
            raise OSError(errno.ENXIO, "no regular file")
        if start:
            file.seek(start)
        return file.read() if end is None else file.read(max(end - start, 0))


def open_file(uri: str) -> BinaryIO:
    """A seekable, read-only file, for formats that read a part of it (Parquet). Raises FileNotFoundError."""
    fs, path = _open(uri)
    file: BinaryIO = fs.open(path, "rb")
    return file


def read_json(uri: str) -> Any:
    """The JSON document at `uri`."""
    return json.loads(read(uri))


def size(uri: str) -> int:
    """Bytes in the object at `uri`. Raises FileNotFoundError."""
    fs, path = _open(uri)
    return int(fs.size(path) or 0)


def create(uri: str, data: bytes) -> bool:
    """Write `data` to `uri` unless an object exists there: True if this call wrote it, False if it did not.

    Of any number of racing writers exactly one gets True. A reader sees the whole object or none. On a disk its owner
    alone may read it.
    """
    fs, path = _open(uri)
    if not isinstance(fs, LocalFileSystem):
        if absolute(uri).startswith("gs://"):
            _prove(absolute(uri))
        return create_object(fs, path, data)
    with _temporary(Path(path), data) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        return True


def replace(uri: str, data: bytes) -> None:
    """Write `data` to `uri`, whatever is there. A reader sees the whole object, as it was or as it is now."""
    fs, path = _open(uri)
    if not isinstance(fs, LocalFileSystem):
        fs.pipe_file(path, data)
        return
    with _temporary(Path(path), data) as temporary:
        os.replace(temporary, path)


@contextlib.contextmanager
def _temporary(target: Path, data: bytes) -> Iterator[Path]:
    """A file with `data` on the disk, beside `target`; it is gone after the block."""
    private.make_folder(target.parent)
    temporary = target.parent / f".{target.name}.{uuid.uuid4().hex}"
    try:
        with open(temporary, "wb", opener=private.opener) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def put(uri: str, data: bytes) -> None:
    """Write `data` to a content-addressed `uri`; an object that exists there has the same content and is kept."""
    create(uri, data)


def delete(uri: str) -> None:
    """Remove an object; one that does not exist is no error."""
    fs, path = _open(uri)
    try:
        fs.rm_file(path)
    except FileNotFoundError:
        return


def delete_tree(uri: str) -> None:
    """Remove every object below `uri`; a folder that does not exist is no error."""
    fs, path = _open(uri)
    with contextlib.suppress(FileNotFoundError):
        fs.rm(path, recursive=True)


def names(uri: str) -> list[str]:
    """Sorted base names of the objects and folders directly below `uri`; [] if there is no such folder."""
    fs, path = _open(uri)
    fs.invalidate_cache()
    try:
        listed = fs.ls(path, detail=False)
    except (FileNotFoundError, NotADirectoryError):
        return []
    # S3 stores may list an emptied folder as its own only entry.
    base_names = (name.rstrip("/").rpartition("/")[2] for name in listed if name.strip("/") != path.strip("/"))
    return sorted(name for name in base_names if name and not name.startswith("."))


def walk(uri: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(URI, {"size", "version", "modified"}) of every object below `uri`, sorted by URI; hidden ones are skipped.

    `version` changes when the object does: the ETag on S3, size and modification time on a disk. `modified`: seconds
    since 1970.
    """
    fs, path = _open(uri)
    scheme = absolute(uri).partition("://")[0]
    for name, info in sorted(fs.find(path, detail=True).items()):
        if not any(part.startswith(".") for part in posixpath.relpath(name, path).split("/")):
            size = int(info.get("size") or 0)
            yield f"{scheme}://{name}", {"size": size, "version": version_of(info), "modified": modified_of(info)}


def version(uri: str) -> str:
    """A short string that changes when the object at `uri` does. Raises FileNotFoundError."""
    fs, path = _open(uri)
    return version_of(fs.info(path))


def download(uri: str, target: Path) -> None:
    """Copy the object at `uri` to a local file; it appears whole or not at all."""
    fs, path = _open(uri)
    private.make_folder(target.parent)
    temporary = target.parent / f".{target.name}.{uuid.uuid4().hex}"
    try:
        private.make_file(temporary)
        fs.get_file(path, str(temporary))
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def probe(root: str) -> None:
    """Raise InputError for a store that lets two writers create the same key."""
    uri = join(absolute(root), f".probe-{uuid.uuid4().hex}")
    try:
        # A first write whose answer was lost is repeated, and the repetition meets the object that it wrote.
        first, second = create(uri, b"1") or read(uri) == b"1", create(uri, b"2")
    except InputError:
        raise
    except Exception as error:
        said = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(
            f"store '{root}' cannot be written ({said}); check the address, the credentials and the rights"
        ) from error
    finally:
        with contextlib.suppress(Exception):
            delete(uri)
    if not first or second:
        raise InputError(f"store '{root}' let a key be created twice; use one that honours If-None-Match on PUT")


def _prove(uri: str) -> None:
    """`probe` once in a process for the bucket of `uri`. Google's store is written only where that passes."""
    bucket = uri[: uri.find("/", len("gs://"))]
    with _PROVING:
        if bucket in _PROVEN:
            return
        _PROVEN.add(bucket)  # before, because the probe creates objects as well
        try:
            probe(parent(uri))
        except BaseException:
            _PROVEN.remove(bucket)
            raise
