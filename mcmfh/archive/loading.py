"""Loads the picture and the report of a manifest row, or gives the reason why they cannot be used.

Two kinds of fault are kept apart. A fault of the item becomes a reason, and the item goes to quarantine: whatever
exception reading, decoding or parsing raises, it ends there, with its class name and nothing else. A store that does
not answer raises OSError, so that the job tries again; of what went wrong it, too, holds the class name alone.
"""

import hashlib
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from mcmfh.archive.addresses import container_of, spellings
from mcmfh.archive.fetching import Read, beside, fetch, read_address
from mcmfh.archive.images import DecodeError, Limits, decode_picture
from mcmfh.archive.picture import Picture
from mcmfh.archive.report_formats.parsed import Beside
from mcmfh.archive.reports import read_report, read_report_text
from mcmfh.errors import InputError
from mcmfh.store import files
from mcmfh.store.outages import is_outage, outage

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


@dataclass(frozen=True)
class Readers:
    """What turns an address into bytes, and bytes into a picture or a report."""

    read: Read = read_address
    image: Callable[[bytes, Limits], Picture] = decode_picture
    report: Callable[[bytes, Beside], str] = read_report


def load_item(item: Mapping[str, Any], limits: Limits = Limits(), readers: Readers = Readers()) -> Loaded:  # noqa: B008 (frozen)
    """The loaded row `item`, a mapping with the keys image_uri, report and report_uri (each may be None or missing)."""
    return _decode(item, _fetch_item(item, limits, readers), limits, readers)


def load_items(
    items: Iterable[Mapping[str, Any]],
    limits: Limits = Limits(),  # noqa: B008 (frozen)
    threads: int = 16,
    readers: Readers = Readers(),
) -> Iterator[Loaded]:
    """`load_item` of each item, in order. `threads` threads fetch ahead; decoding runs in the caller's thread.

    It is an iterator, so that a caller who resizes each picture at once holds one large picture at a time. At most
    2 × `threads` items of a remote store, or two groups of eight items of a disk, are fetched ahead.
    """
    waiting: deque[tuple[list[Mapping[str, Any]], Future[list[_Fetched]]]] = deque()

    def earliest() -> Iterator[Loaded]:
        group, future = waiting.popleft()
        return (_decode(item, fetched, limits, readers) for item, fetched in zip(group, future.result()))

    stream = iter(items)
    with ThreadPoolExecutor(threads, thread_name_prefix="fetch") as pool:
        for first in stream:
            local = all(files.is_local(str(first.get(name) or "")) for name in ("image_uri", "report_uri"))
            group = [first, *islice(stream, _DISK_GROUP - 1 if local else 0)]
            waiting.append((group, pool.submit(_fetch_items, group, limits, readers)))
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


def _decode(item: Mapping[str, Any], fetched: "_Fetched", limits: Limits, readers: Readers) -> Loaded:
    image_sha256 = _sha256(fetched.image) if fetched.image is not None else None
    picture = report = report_sha256 = None
    reason, doing = fetched.reason, "image cannot be decoded"
    try:
        if reason is None and fetched.image is not None:
            picture = readers.image(fetched.image, limits)
        doing = "report cannot be read"
        if reason is None and fetched.report is not None:
            report = readers.report(fetched.report, beside(str(item["report_uri"]), limits, readers.read))
        elif reason is None and item.get("report") is not None:
            report = read_report_text(item["report"])
        if report is not None:
            report_sha256 = _sha256(report.encode())
        elif reason is None and picture is None:
            reason = "row has neither image nor report"
    except DecodeError as error:
        reason = str(error)
    except (InputError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise  # a library that is not installed is no fault of the item
    except BaseException as error:  # libraries in other languages raise what is no Exception
        if doing.startswith("report") and is_outage(error):  # while an attachment was fetched
            raise outage(error) from None
        reason = f"{doing} ({type(error).__name__})"
    if reason is not None:
        return Loaded(image_sha256=image_sha256, report_sha256=report_sha256, reason=reason)
    image, note = (picture.pixels, picture.note) if picture else (None, None)
    return Loaded(image, report, image_sha256, report_sha256, note=note)


@dataclass(frozen=True)
class _Fetched:
    image: bytes | None = None
    report: bytes | None = None
    reason: str | None = None


def _fetch_items(items: list[Mapping[str, Any]], limits: Limits, readers: Readers) -> "list[_Fetched]":
    return [_fetch_item(item, limits, readers) for item in items]


def _fetch_item(item: Mapping[str, Any], limits: Limits, readers: Readers) -> _Fetched:
    image = report = None
    try:
        if item.get("image_uri"):
            image = fetch(str(item["image_uri"]), "image", limits, readers.read)
        if item.get("report_uri"):
            report = fetch(str(item["report_uri"]), "report", limits, readers.read)
    except DecodeError as error:
        return _Fetched(image, report, str(error))
    return _Fetched(image, report)


def _versions(uris: set[str], threads: int) -> dict[str, str]:
    """URI → version. A missing object has the version "missing", so that its fingerprint changes when it appears."""
    holders = {container_of(uri) for uri in uris}
    versions: dict[str, str] = {}
    folders: dict[str, set[str]] = defaultdict(set)
    for uri in holders:
        folders[files.parent(uri)].add(uri)
    for folder in sorted(folders, key=len):  # short paths first: a listing covers sub-folders
        if len(folders[folder] - versions.keys()) >= _LISTING_PAYS_FROM:
            versions.update(_listed(folder, holders))
    rest = sorted(holders - versions.keys())
    with ThreadPoolExecutor(threads, thread_name_prefix="version") as pool:
        versions.update(zip(rest, pool.map(_version, rest)))
    return {uri: versions[container_of(uri)] for uri in uris}


def _listed(folder: str, wanted: set[str]) -> dict[str, str]:
    """Versions of the `wanted` files below a folder; none where it cannot be listed, and each is asked for."""
    try:
        return {uri: info["version"] for uri, info in files.walk(folder) if uri in wanted}
    except Exception as error:
        if is_outage(error):
            raise outage(error) from None
        return {}


def _version(uri: str) -> str:
    for spelling in spellings(uri):
        try:
            return files.version(spelling)
        except FileNotFoundError:
            continue
        except Exception as error:
            if is_outage(error):
                raise outage(error) from None
            return "missing"
    return "missing"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
