"""Loads the picture and the report of a manifest row, or gives the reason why they cannot be used.

Two kinds of fault are kept apart. A fault of the item (missing, forbidden, broken) becomes a reason, and the item goes
to quarantine. A store that does not answer raises an exception, so that the job tries again.
"""

import errno
import hashlib
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from mcmfh.archive.images import DecodeError, Limits, decode_picture
from mcmfh.archive.reports import normalise, read_report
from mcmfh.errors import InputError
from mcmfh.store import files

# Error numbers by which a local disk and S3 say that an address can never be read.
_BAD_ADDRESS = (errno.ENAMETOOLONG, errno.ELOOP, errno.ENXIO)
# Handing an item from thread to thread costs as much as reading a small file from a disk. Items on a disk are therefore
# read in groups, two groups ahead. Items of a remote store are fetched one by one, because there the wait dominates.
_DISK_GROUP, _DISK_GROUPS = 8, 2
# A listing returns a thousand objects in one request. For fewer wanted objects than this, single requests are cheaper.
_LISTING_PAYS_FROM = 8


@dataclass(frozen=True)
class Loaded:
    """One item. With a `reason`, picture and report are None, and the digests cover the files that could be read."""

    image: np.ndarray | None = None  # as `decode_picture` gives it
    report: str | None = None
    image_sha256: str | None = None  # of the file's bytes
    report_sha256: str | None = None  # of the normalised text in UTF-8, as the encoder gets it
    reason: str | None = None
    note: str | None = None  # what had to be done to show the picture, as `Picture.note`


def load_item(item: Mapping[str, Any], limits: Limits = Limits()) -> Loaded:  # noqa: B008 (frozen)
    """The loaded row `item`, a mapping with the keys image_uri, report and report_uri (each may be None or missing)."""
    return _decode(item, _fetch_item(item, limits), limits)


def load_items(items: Iterable[Mapping[str, Any]], limits: Limits = Limits(), threads: int = 16) -> Iterator[Loaded]:  # noqa: B008
    """`load_item` of each item, in order. `threads` threads fetch ahead; decoding runs in the caller's thread.

    It is an iterator, so that a caller who resizes each picture at once holds one large picture at a time. At most
    2 × `threads` items of a remote store, or two groups of eight items of a disk, are fetched ahead.
    """
    waiting: deque[tuple[list[Mapping[str, Any]], Future[list[_Fetched]]]] = deque()

    def earliest() -> Iterator[Loaded]:
        group, future = waiting.popleft()
        return (_decode(item, fetched, limits) for item, fetched in zip(group, future.result()))

    stream = iter(items)
    with ThreadPoolExecutor(threads, thread_name_prefix="fetch") as pool:
        for first in stream:
            local = all(files.is_local(first.get(name) or "") for name in ("image_uri", "report_uri"))
            group = [first, *islice(stream, _DISK_GROUP - 1 if local else 0)]
            waiting.append((group, pool.submit(_fetch_items, group, limits)))
            if len(waiting) >= (_DISK_GROUPS if local else 2 * threads):
                yield from earliest()
        while waiting:
            yield from earliest()


def item_fingerprint(item: Mapping[str, Any]) -> str:
    """sha256 (hex) of the versions of the item's files (ETag, or size and modification time) and its inline report."""
    return item_fingerprints([item])[0]


def item_fingerprints(items: Sequence[Mapping[str, Any]], threads: int = 16) -> list[str]:
    """`item_fingerprint` of each item. A folder with many wanted objects is listed once instead of asked for each."""
    wanted = {uri for item in items for uri in (item.get("image_uri"), item.get("report_uri")) if uri}
    versions = _versions(wanted, threads)

    def part(item: Mapping[str, Any], name: str) -> str | None:
        return versions[item[name]] if item.get(name) else None

    return [
        files.digest(
            [
                part(item, "image_uri"),
                part(item, "report_uri"),
                _sha256(item["report"].encode()) if item.get("report") else None,
            ]
        )
        for item in items
    ]


def _decode(item: Mapping[str, Any], fetched: "_Fetched", limits: Limits) -> Loaded:
    image_sha256 = _sha256(fetched.image) if fetched.image is not None else None
    picture = report = report_sha256 = None
    try:
        if fetched.reason:
            raise DecodeError(fetched.reason)
        if fetched.image is not None:
            picture = decode_picture(fetched.image, limits)
        if fetched.report is not None:
            report = read_report(fetched.report)
        elif item.get("report") is not None:
            report = normalise(item["report"])
        if picture is None and report is None:
            raise DecodeError("row has neither image nor report")
        report_sha256 = _sha256(report.encode()) if report is not None else None
    except DecodeError as error:
        return Loaded(image_sha256=image_sha256, report_sha256=report_sha256, reason=str(error))
    image, note = (picture.pixels, picture.note) if picture else (None, None)
    return Loaded(image, report, image_sha256, report_sha256, note=note)


@dataclass(frozen=True)
class _Fetched:
    image: bytes | None = None
    report: bytes | None = None
    reason: str | None = None


def _fetch_items(items: list[Mapping[str, Any]], limits: Limits) -> "list[_Fetched]":
    return [_fetch_item(item, limits) for item in items]


def _fetch_item(item: Mapping[str, Any], limits: Limits) -> _Fetched:
    image = report = None
    try:
        if item.get("image_uri"):
            image = _fetch(item["image_uri"], "image", limits.max_bytes)
        if item.get("report_uri"):
            report = _fetch(item["report_uri"], "report", limits.max_bytes)
    except DecodeError as error:
        return _Fetched(image, report, str(error))
    return _Fetched(image, report)


def _fetch(uri: str, kind: str, max_bytes: int) -> bytes:
    """The file's bytes, cut after `max_bytes` + 1, which is enough to see that the file is too large."""
    try:
        return files.read(uri, 0, max_bytes + 1)
    except FileNotFoundError:
        raise DecodeError(f"{kind} file not found") from None
    except PermissionError:
        raise DecodeError(f"{kind} file may not be read") from None
    except (IsADirectoryError, NotADirectoryError):
        raise DecodeError(f"{kind} address is a folder") from None
    except InputError:
        raise DecodeError(f"{kind} address has an unsupported scheme") from None
    except OSError as error:
        if error.errno == errno.EINVAL and files.size(uri) == 0:  # S3 refuses a byte range of an empty object
            return b""
        if error.errno in _BAD_ADDRESS:
            raise DecodeError(f"{kind} address is not valid") from None
        raise
    except ValueError:
        raise DecodeError(f"{kind} address is not valid") from None


def _versions(uris: set[str], threads: int) -> dict[str, str]:
    """URI → version. A missing object has the version "missing", so that its fingerprint changes when it appears."""
    versions: dict[str, str] = {}
    folders: dict[str, set[str]] = defaultdict(set)
    for uri in uris:
        folders[files.parent(uri)].add(uri)
    for folder in sorted(folders, key=len):  # short paths first: a listing covers sub-folders
        if len(folders[folder] - versions.keys()) >= _LISTING_PAYS_FROM:
            versions.update((uri, info["version"]) for uri, info in files.walk(folder) if uri in uris)
    rest = sorted(uris - versions.keys())
    with ThreadPoolExecutor(threads, thread_name_prefix="version") as pool:
        versions.update(zip(rest, pool.map(_version, rest)))
    return versions


def _version(uri: str) -> str:
    try:
        return files.version(uri)
    except (FileNotFoundError, PermissionError, NotADirectoryError, InputError):
        return "missing"
    except OSError as error:
        if error.errno in _BAD_ADDRESS:
            return "missing"
        raise
    except ValueError:
        return "missing"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
