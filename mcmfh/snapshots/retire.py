"""Removal of the snapshots whose report texts an earlier version of the parsers made.

A parser may have been mended that took a patient's name for a text. A snapshot made by the mended one leaves the older
ones without use, and nobody may roll back to them. Codes and item lists of theirs stay until a gc.
"""

from collections.abc import Callable

from mcmfh.snapshots.document import read_snapshot, snapshot_numbers
from mcmfh.snapshots.shards import SUFFIXES, Shard
from mcmfh.store import documents, files, layout, numbered


def retire(root: str, newest: int, is_old: Callable[[str], bool]) -> list[int]:
    """Remove what is older than snapshot `newest` and holds old texts; returns the numbers of these snapshots.

    is_old: the digest of an encoder → whether texts with its embeddings are old. The texts go first and the document
    last, so that a removal that was interrupted is done again. A text that another snapshot needs stays.
    """
    snapshots = {number: read_snapshot(root, number) for number in snapshot_numbers(root)}
    encoders = {digest for digest in {document.encoder_digest for document in snapshots.values()} if is_old(digest)}
    old = {
        number: document
        for number, document in snapshots.items()
        if number < newest and document.keep_reports and document.encoder_digest in encoders
    }
    needed = {shard.shown for number in snapshots.keys() - old.keys() for shard in snapshots[number].shards}
    for code_digest in {document.code_digest for document in old.values()}:
        _remove_markers(layout.shard_markers(root, code_digest), root, needed)
    for number, document in old.items():
        for shard in document.shards:
            _remove_text(root, shard, needed)
        files.delete(files.join(layout.snapshots_folder(root), numbered.name(number)))
    return sorted(old)


def _remove_markers(folder: str, root: str, needed: set[str]) -> None:
    """Remove the markers of hashed shards with their texts, also of shards that no snapshot lists."""
    for name in files.names(folder):
        uri = files.join(folder, name)
        shard = Shard(**documents.read(uri))
        if shard.shown not in needed:
            files.delete(uri)
            _remove_text(root, shard, needed)


def _remove_text(root: str, shard: Shard, needed: set[str]) -> None:
    if shard.shown not in needed:
        files.delete(layout.archive_file(root, layout.SHARDS, shard.shown, SUFFIXES["shown"]))
