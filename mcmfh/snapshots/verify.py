"""Re-reads a whole store: every file is compared with its digest, and every document with the files that it names.

What a file is compared with: its own name (shards, plans), the marker of its unit, the config.json of its sealed
folder, the digest that a document states of itself, or the store's list of digests (`store/ledger`). A file of none of
these kinds is put on that list, so that the next verification notices a change. Checkpoints of unfinished trainings and
scratch files of jobs are not verified: nothing is served from them.
"""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from mcmfh.snapshots.document import SnapshotDocument
from mcmfh.store import documents, files, layout, ledger
from mcmfh.store.copying import Copied, Kept, copy_store
from mcmfh.store.documents import Damaged
from mcmfh.store.sealed import CONFIG, folder_digest

_NAMED_BY_CONTENT = re.compile(
    r"(?:archives/[^/]+/(?:shards|tombstones|audit/segments)/|embeddings/[^/]+/plans/sha256-|digests/)([0-9a-f]{64})(?:\.\w+)?$"
)
_SEALED = re.compile(r"((?:bundles|encoders)/[0-9a-f]{64})/([^/]+)$")
_UNIT = re.compile(r"(embeddings/[^/]+)/units/([^/]+)\.parquet$")
_UNIT_MARKER = re.compile(r"(embeddings/[^/]+)/done/([^/]+)\.json$")
_SNAPSHOT = re.compile(r"(archives/[^/]+)/snapshots/\d+\.json$")
_PASSING = re.compile(r"(?:archives/[^/]+/(?:scratch|usage)|training/[^/]+|pretraining/[^/]+)/")
# What can be made again, and how; the first that matches. All else is restored from a copy.
_REBUILT = (
    (r"embeddings/[^/]+/(?:units|done)/", "delete the file and its unit's marker, then run jobs/embed.py"),
    (r"embeddings/[^/]+/plans/", "delete it; jobs/embed.py writes it again"),
    (r"bundles/", "restore it from a copy, or train again (jobs/train.py)"),
    (r"encoders/", "restore it from a copy, or pretrain again (jobs/pretrain.py)"),
    (r"(?:evaluations|splits|training|pretraining)/", "delete it; its job makes it again"),
    (r"archives/[^/]+/runs/", "delete it; jobs/hash_archive.py hashes these items again"),
    (r"archives/[^/]+/audit/", "restore it from a copy; mcmfh audit verify says what is missing"),
    (r"archives/", "restore it from a copy, or hash the archive under another archive.name: its embeddings are kept"),
    (r"digests/", "restore it from a copy, or delete it: then changes of the files that it lists go unnoticed"),
)


@dataclass(frozen=True)
class Fault:
    """A file that is damaged or missing: its name below the store, what is wrong and what mends it."""

    name: str
    what: str
    remedy: str


@dataclass(frozen=True)
class Verification:
    """`recorded`: files of which no digest was known before."""

    files: int
    bytes: int
    faults: list[Fault]
    recorded: list[str]


def verify_store(store: str, record: bool = True) -> Verification:
    """Compare every file of `store` with its digest.

    record: where nothing is wrong, keep the digests of files of which none was known.
    """
    store = files.absolute(store)
    sizes = {uri[len(store) + 1 :]: info["size"] for uri, info in files.walk(store)}
    names = [name for name in sizes if not _PASSING.match(name)]
    known, doubtful = _known(store, names)
    with ThreadPoolExecutor(4) as threads:
        checks = list(threads.map(lambda name: _check(store, name, known, doubtful), names))
    faults = [_fault(name, what) for name, what, _ in checks if what]
    faults += [_fault(name, "is missing") for name in sorted(set(_needed(store, names)) - sizes.keys())]
    new = {name: digest for name, _, digest in checks if digest}
    if record and not faults:
        ledger.record(store, new)
    return Verification(len(names), sum(sizes[name] for name in names), sorted(faults, key=_order), list(new))


def copy_verified(source: str, target: str) -> Copied:
    """Copy the store `source` to `target`, but what is damaged and the unfinished work of jobs (`copy_store`)."""
    source = files.absolute(source)
    known, _ = _known(source, [uri[len(source) + 1 :] for uri, _ in files.walk(source)])

    def damaged(name: str, data: bytes) -> bool:
        return bool(_what(name, data, known))

    return copy_store(
        source,
        target,
        Kept(lambda name: bool(_PASSING.match(name)), damaged, lambda name: bool(_NAMED_BY_CONTENT.match(name))),
    )


def _what(name: str, data: bytes, known: dict[str, set[str]]) -> str:
    """What is wrong with a file, given its content; "" where nothing is, or where its digest is not known."""
    digest = files.digest(data)
    if named := _NAMED_BY_CONTENT.match(name):
        return "" if digest == named[1] else "is damaged"
    if name in known:
        return "" if digest in known[name] else "is damaged"
    if name.endswith(".json"):
        try:
            documents.opened(name, data)
        except Damaged:
            return "is damaged"
    return ""


def _known(store: str, names: list[str]) -> tuple[dict[str, set[str]], set[str]]:
    """(name → the digests that it may have, names of those whose digests stand in a damaged document).

    A name that ends in a slash stands for all files in that folder; "" for all of which no digest is known.
    """
    known: dict[str, set[str]] = {}
    doubtful: set[str] = set()
    for name in names:
        try:
            if sealed := _SEALED.match(name):
                if sealed[2] == CONFIG:
                    known |= _of_sealed(store, sealed[1])
            elif _UNIT_MARKER.match(name):
                value = documents.read(files.join(store, name))
                known[_unit_of(name)] = {value["file"]}
        except (ValueError, KeyError, TypeError, AttributeError):
            doubtful.add(f"{sealed[1]}/" if sealed else _unit_of(name))
    listed, sound = ledger.recorded(store)
    return {**listed, **known}, doubtful if sound else doubtful | {""}


def _unit_of(marker: str) -> str:
    return _UNIT_MARKER.sub(r"\1/units/\2.parquet", marker)


def _of_sealed(store: str, folder: str) -> dict[str, set[str]]:
    raw = files.read(files.join(store, folder, CONFIG))
    digests: dict[str, str] = json.loads(raw)["files"]
    if folder_digest(digests, raw) != folder.rpartition("/")[2]:
        raise ValueError("not the content that the folder's name promises")
    return {f"{folder}/{name}": {digest} for name, digest in [*digests.items(), (CONFIG, files.digest(raw))]}


def _check(store: str, name: str, known: dict[str, set[str]], doubtful: set[str]) -> tuple[str, str, str]:
    """(name, what is wrong or "", the digest of a file that none was known of or "")."""
    try:
        data = files.read(files.join(store, name))
    except FileNotFoundError:  # a job has deleted it meanwhile; where it is needed, it is missed
        return name, "", ""
    if what := _what(name, data, known):
        return name, what, ""
    stated = name in known or _NAMED_BY_CONTENT.match(name)
    if stated or (name.endswith(".json") and documents.states_digest(data)):
        return name, "", ""
    if doubtful & {"", name, f"{files.parent(name)}/"}:
        return name, "cannot be compared, as the document with its digest is damaged", ""
    return name, "", files.digest(data)


def _needed(store: str, names: list[str]) -> Iterator[str]:
    """Names of the files without which a snapshot, a sealed folder or a finished unit is not whole."""
    for name in names:
        try:
            if snapshot := _SNAPSHOT.match(name):
                yield from _of_snapshot(snapshot[1], documents.read(files.join(store, name)))
            elif (sealed := _SEALED.match(name)) and sealed[2] == CONFIG:
                yield from _of_sealed(store, sealed[1])
            elif _UNIT_MARKER.match(name):
                yield _unit_of(name)
        except (ValueError, KeyError, TypeError, AttributeError, FileNotFoundError):
            continue  # reported as damaged, or deleted by a gc meanwhile


def _of_snapshot(root: str, value: dict[str, Any]) -> Iterator[str]:
    document = SnapshotDocument.from_json(value)
    for shard in document.shards:
        yield from (f"{root}/{layout.SHARDS}/{name}" for name in shard.files())
    if document.tombstones:
        yield f"{root}/{layout.TOMBSTONES}/{document.tombstones}"
    yield from (f"{root}/{layout.QUARANTINE}/{name}.parquet" for name in document.quarantine)
    if "://" not in document.bundle:
        yield f"{document.bundle}/{CONFIG}"


def _fault(name: str, what: str) -> Fault:
    remedy = next((text for pattern, text in _REBUILT if re.match(pattern, name)), "restore it from a copy")
    return Fault(name, what, remedy)


def _order(fault: Fault) -> tuple[str, str]:
    return fault.name, fault.what
