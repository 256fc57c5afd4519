"""A copy of a store at another place: complete, verified, resumed where it was cut off, and never overwriting.

Documents are listed first and copied last. What a document names was written before it; so a copy that is made while a
job publishes into the store holds everything that its documents name, at every moment of the copying.
"""

import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from mcmfh.errors import InputError
from mcmfh.store import files, ledger

Outcome = Literal["copied", "present", "vanished", "damaged", "conflict"]


@dataclass(frozen=True)
class Kept:
    """What copying must know of a store's files, by their names below it."""

    left_out: Callable[[str], bool]
    damaged: Callable[[str, bytes], bool]  # whether a file, given its content, may not be copied
    named_by_content: Callable[[str], bool]  # whether one of equal size at the target is the same


@dataclass(frozen=True)
class Copied:
    """What a copy did: names of files by outcome, and the bytes that were written.

    present: they were there before. vanished: a job deleted them meanwhile. damaged: left out, as they are not what
    they should be. conflict: another content has their name at the target, and was kept.
    """

    outcomes: dict[str, Outcome]
    bytes: int

    def count(self, outcome: Outcome) -> int:
        return Counter(self.outcomes.values())[outcome]

    def names(self, outcome: Outcome) -> list[str]:
        return sorted(name for name, its in self.outcomes.items() if its == outcome)


def copy_store(source: str, target: str, kept: Kept) -> Copied:
    """Copy the store `source` to `target`. Whatever is written is read back and compared.

    Raises InputError where one is inside the other, where `source` holds nothing, and where the target loses bytes.
    """
    source, target = files.absolute(source), files.absolute(target)
    if f"{source}/".startswith(f"{target}/") or f"{target}/".startswith(f"{source}/"):
        raise InputError(f"a store is not copied into itself; name another folder or bucket than '{target}'")
    documents = [name for name in _sizes(source) if name.endswith(".json") and not kept.left_out(name)]
    contents = [name for name in _sizes(source) if not (name.endswith(".json") or kept.left_out(name))]
    if not documents:
        raise InputError(f"'{source}' holds no store; correct the address")
    files.probe(target)
    present = _sizes(target)
    digests: dict[str, str] = {}

    def copy(name: str) -> tuple[Outcome, int]:
        if name in present and kept.named_by_content(name) and present[name] == files.size(files.join(source, name)):
            return "present", 0
        return _copy(source, target, name, kept, digests)

    with ThreadPoolExecutor(4) as threads:
        results = dict(zip(contents, threads.map(copy, contents)))
    documents.sort(key=_rank)
    results |= {name: copy(name) for name in documents}
    ledger.record(target, {name: digest for name, digest in digests.items() if not kept.named_by_content(name)})
    return Copied({name: outcome for name, (outcome, _) in results.items()}, sum(size for _, size in results.values()))


def _copy(source: str, target: str, name: str, kept: Kept, digests: dict[str, str]) -> tuple[Outcome, int]:
    """Copy one file; `digests` gets that of what the target then holds."""
    origin, uri = files.join(source, name), files.join(target, name)
    try:
        data = files.read(origin)
    except FileNotFoundError:
        return "vanished", 0
    if kept.damaged(name, data):
        return "damaged", 0
    written = files.create(uri, data)
    digest = files.digest(data)
    if files.digest(files.read(uri)) != digest:
        if written:
            raise InputError(f"'{uri}' was not stored as it was sent; check the disk or bucket, and copy again")
        return "conflict", 0
    digests[name] = digest
    if written:
        _keep_time(origin, uri)
    return ("copied", len(data)) if written else ("present", 0)


def _keep_time(origin: str, uri: str) -> None:
    """Give the copy on a disk the modification time of its origin on a disk: items are told from changed ones by it."""
    if files.is_local(origin) and files.is_local(uri):
        modified = os.stat(origin.removeprefix("file://")).st_mtime_ns
        os.utime(uri.removeprefix("file://"), ns=(modified, modified))


def _sizes(store: str) -> dict[str, int]:
    """Name below the store → bytes."""
    return {uri[len(store) + 1 :]: info["size"] for uri, info in files.walk(store)}


def _rank(name: str) -> tuple[bool, str]:
    """Sorts models and snapshots, which name other documents, behind these."""
    return "/snapshots/" in name or name.startswith("models/"), name
