"""Bytes of an address in a manifest, or the reason why they cannot be had.

Only what lies within `Limits.roots` is read, after links are resolved. Before "file not found" is said, the address is
tried as it may have been meant (see `addresses`).
"""

import errno
import re
from collections.abc import Callable
from functools import partial
from urllib.parse import unquote

from mcmfh.archive import members
from mcmfh.archive.addresses import member_of, spellings
from mcmfh.archive.limits import DecodeError, Limits
from mcmfh.archive.report_formats.parsed import Beside
from mcmfh.archive.roots import inside, inside_as_written
from mcmfh.errors import InputError
from mcmfh.store import files
from mcmfh.store.outages import is_outage, outage

# (URI, first byte, end) → bytes; raises what the store raises.
Read = Callable[[str, int, int], bytes]
# Error numbers by which a local disk and S3 say that an address can never be read.
_HOST = re.compile(r"file://(?!/|localhost/)", re.I)
_BAD_ADDRESS = (errno.ENAMETOOLONG, errno.ELOOP, errno.ENXIO, errno.EISDIR, errno.ENODEV)


def read_address(uri: str, start: int, end: int) -> bytes:
    """Bytes [start, end) of a file; of a member of a container the first `end`."""
    try:
        return files.read(uri, start, end)
    except (FileNotFoundError, NotADirectoryError):
        if member_of(uri) is None:
            raise
    return members.read_member(uri, end)


def fetch(uri: str, kind: str, limits: Limits, read: Read = read_address) -> bytes:
    """The file's bytes, cut after `max_bytes` + 1, which is enough to see that the file is too large.

    kind: "image" or "report", for the reason. Raises DecodeError for whatever is wrong with the item, and
    OSError where the store or the network fails.
    """
    try:
        if _HOST.match(uri):  # it would be looked for below the working folder
            raise DecodeError(f"{kind} address is not valid")
        for spelling in spellings(uri):
            try:
                if not (inside(spelling, limits.roots) and inside_as_written(spelling, limits.roots)):
                    raise DecodeError(f"{kind} address is outside archive.roots")
                return read(spelling, 0, limits.max_bytes + 1)
            except FileNotFoundError:
                continue
        raise DecodeError(f"{kind} file not found")
    except DecodeError:
        raise
    except PermissionError:
        raise DecodeError(f"{kind} file may not be read") from None
    except (IsADirectoryError, NotADirectoryError):
        raise DecodeError(f"{kind} address is a folder") from None
    except InputError:
        raise DecodeError(f"{kind} address has an unsupported scheme") from None
    except Exception as error:
        if is_outage(error):
            raise outage(error) from None
        if not files.is_local(uri) and _is_empty(uri):
            return b""  # stores refuse a byte range of an empty object
        if (isinstance(error, OSError) and error.errno in _BAD_ADDRESS) or isinstance(error, ValueError):
            raise DecodeError(f"{kind} address is not valid") from None
        raise DecodeError(f"{kind} file cannot be read ({type(error).__name__})") from None


def beside(uri: str, limits: Limits, read: Read = read_address) -> Beside:
    """Reads files of the folder of the report at `uri`: plain names only, and only within the roots."""
    return partial(_read_beside, files.parent(uri), limits, read)


def _read_beside(folder: str, limits: Limits, read: Read, name: str) -> bytes | None:
    plain = unquote(name).removeprefix("./")
    if not plain or any(mark in plain for mark in ("/", "\\", "\0", "..")):
        return None
    try:
        return fetch(f"{folder}/{plain}", "report", limits, read)
    except DecodeError:
        return None


def _is_empty(uri: str) -> bool:
    try:
        return files.size(uri) == 0
    except Exception:  # each store's library has exceptions of its own
        return False
