"""Digests of the files that do not verify themselves: pictures, pages, quarantine, and what older versions wrote.

    <store>/digests/<sha256>.json    {"<name below the store>": sha256, …}, named by its content

A file that was replaced on purpose, as a page of scores may be, has several digests; it is sound if it has one of them.
"""

import json
from collections.abc import Mapping

from mcmfh.store import files, layout
from mcmfh.store.relative import named


def record(store: str, digests: Mapping[str, str]) -> None:
    """Keep the digests of files; `digests`: name below the store → sha256."""
    if digests:
        data = files.canonical_json(dict(digests))
        files.put(layout.ledger_uri(store, files.digest(data)), data)


def record_files(store: str, contents: Mapping[str, bytes]) -> None:
    """`record` of files by their URIs and contents."""
    record(store, {named(store, uri): files.digest(data) for uri, data in contents.items()})


def recorded(store: str) -> tuple[dict[str, set[str]], bool]:
    """(name below the store → the digests that were recorded of it, whether every list of digests is sound)."""
    folder, sound = layout.ledger_folder(store), True
    known: dict[str, set[str]] = {}
    for name in files.names(folder):
        data = files.read(files.join(folder, name))
        if files.digest(data) != name.partition(".")[0]:
            sound = False
            continue
        for file, digest in json.loads(data).items():
            known.setdefault(file, set()).add(digest)
    return known, sound
