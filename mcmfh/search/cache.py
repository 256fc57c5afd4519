"""The snapshots that a node keeps of an archive: the newest two, every other that is open, and the shards they list.

<cache>/<snapshot>/lock        locked while the folder is filled or removed
<cache>/<snapshot>/used        locked, shared, as long as a process has the snapshot open
<cache>/<snapshot>/complete    written last: {"root", "number", "files": names in <cache>/shards,
                               "derived": names in the folder, "digest": of the rest}
<derived file>.sha256          its digest; published files are named by theirs
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TextIO

from mcmfh.store import files, private

KEPT = 2
# A shard file that no complete folder lists may belong to a folder that is being filled.
GRACE_S = 3600.0
SEAL = ".sha256"
PUBLISHED = ("safetensors", "arrow")
_SNAPSHOT = re.compile(r"[0-9a-f]{64}(\.\d+-of-\d+)?")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, so that no other process fills or removes it."""
    with _open_private(folder / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def make_folder(path: Path) -> None:
    """`private.make_folder`, in place of what is no folder."""
    if not path.is_dir():
        path.unlink(missing_ok=True)
    private.make_folder(path)


def settle(arrived: Path, target: Path) -> None:
    """Put a whole file where it belongs, readable by its owner alone, in place of whatever is there."""
    arrived.chmod(private.FILE)
    _clear(target)
    arrived.replace(target)


def in_use(folder: Path) -> TextIO:
    """A file that marks the folder as used until it is closed or garbage-collected."""
    file = _open_private(folder / "used", "a")
    fcntl.flock(file, fcntl.LOCK_SH)
    return file


def digest_of(path: Path) -> str:
    """sha256 (hex) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seal(path: Path) -> Path:
    """Write the digest of a derived file into a file beside it; returns that."""
    beside = path.with_name(path.name + SEAL)
    _write(beside, digest_of(path))
    return beside


def verified(path: Path) -> bool:
    """Whether a file has the content that its name promises or, for a derived one, the file beside it. Reads it all."""
    name, _, suffix = path.name.partition(".")
    try:
        expected = name if suffix in PUBLISHED else files.read(str(path.with_name(path.name + SEAL))).decode()
        return path.is_file() and digest_of(path) == expected
    except (OSError, UnicodeDecodeError):
        return False


def completed(folder: Path) -> dict[str, Any] | None:
    """The content of the folder's file `complete`; None where the folder is not filled, or the file was changed."""
    try:
        facts: dict[str, Any] = json.loads(files.read(str(folder / "complete")))
        digest = facts.pop("digest")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return facts if digest == _digest(facts) else None


def complete(folder: Path, root: str, number: int, file_names: Sequence[str]) -> None:
    """Seal the derived files in the folder and mark it as filled. file_names: names in <cache>/shards."""
    derived = sorted(path for path in folder.iterdir() if path.name not in ("lock", "used", "complete"))
    derived = [path for path in derived if path.suffix != SEAL]
    for path in derived:
        seal(path)
    facts = {"root": root, "number": number, "files": list(file_names), "derived": [path.name for path in derived]}
    _write(folder / "complete", json.dumps({**facts, "digest": _digest(facts)}))


def mapped_files(folder: Path, shards_folder: Path) -> list[Path] | None:
    """The files that a process maps which opens the folder; None where it is not filled."""
    facts = completed(folder)
    if facts is None:
        return None
    shared = [shards_folder / name for name in facts["files"] if not name.endswith(SEAL)]
    return shared + [folder / name for name in facts["derived"]]


def sound(folder: Path, shards_folder: Path) -> bool:
    """Whether the folder is filled and every file of it is verified."""
    paths = mapped_files(folder, shards_folder)
    if paths is None:
        return False
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as threads:  # hashing leaves Python's lock free
        return all(threads.map(verified, paths))


def damaged_files(cache: Path) -> list[str]:
    """Names below `cache` of the files that are not what they were when they were written, sorted. Reads every byte."""
    shared = [path for path in cache.glob("shards/*") if path.suffix != SEAL]
    sealed = [folder / "complete" for folder in cache.iterdir() if (folder / "complete").exists()]
    damaged = [path for path in sealed if completed(path.parent) is None]
    derived = [path.parent / name for path in sealed for name in (completed(path.parent) or {}).get("derived", ())]
    damaged += [path for path in [*shared, *derived] if not verified(path)]
    return sorted(str(path.relative_to(cache)) for path in damaged)


def inode_of(path: Path) -> int:
    """The number of the file behind a path, 0 where there is none. A file that is replaced has another number."""
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def inodes_of(folder: Path, shards_folder: Path) -> dict[Path, int]:
    """`inode_of` of every file that a process maps which opens the folder."""
    return {path: inode_of(path) for path in mapped_files(folder, shards_folder) or ()}


def _open_private(path: Path, mode: Literal["w", "a"]) -> TextIO:
    _clear(path)
    return open(path, mode, opener=private.opener)


def _clear(path: Path) -> None:
    """Remove what is no file where a file belongs; it would prevent every start until somebody deleted it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif path.is_symlink() or not path.is_file():
        path.unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    with _open_private(path, "w") as file:
        file.write(text)


def _digest(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def sweep(
    cache: Path,
    root: str,
    published: Callable[[int, str], bool],
    grace_s: float = GRACE_S,
    needed: Callable[[], Collection[str] | None] = lambda: None,
) -> None:
    """Remove snapshots of the archive at `root` that no process has open, and shard files no snapshot lists.

    The newest two stay, unless the store has them no more, or without erased items; then their report texts must leave
    the nodes too. A shard file, or a folder that was never filled, stays while it is younger than `grace_s` seconds,
    unless it belongs to a snapshot that the store has no more.

    published: (number, digest) → whether the store has that snapshot. needed: the digests of all shard files that the
    store's snapshots name; None keeps the young files.
    """
    recently = time.time() - grace_s
    # Others may keep files of their own beside the snapshots, as a disk its lost+found.
    folders = [path for path in cache.iterdir() if _SNAPSHOT.fullmatch(path.name) and path.is_dir()]
    for folder in folders:
        if completed(folder) is None and folder.stat().st_mtime < recently:
            _remove_unused(folder)
    filled = {folder: facts for folder in folders if (facts := completed(folder))}
    current = {
        folder: facts["number"]
        for folder, facts in filled.items()
        if facts["root"] == root and published(facts["number"], folder.name.partition(".")[0])
    }
    newest = sorted({*current.values()})[-KEPT:]
    gone: set[str] = set()
    for folder, facts in list(filled.items()):
        if facts["root"] == root and current.get(folder) not in newest and _remove_unused(folder):
            del filled[folder]
            gone.update(() if folder in current else facts["files"])
    listed = {name for facts in filled.values() for name in facts["files"]}
    gone = _unneeded(gone - listed, needed)
    for file in (cache / "shards").iterdir():
        unlisted = file.name not in listed and file.is_file()
        if unlisted and (file.name in gone or file.stat().st_mtime < recently):
            file.unlink(missing_ok=True)


def _unneeded(names: set[str], needed: Callable[[], Collection[str] | None]) -> set[str]:
    """Those of the cached files `names` that no snapshot of the store names.

    A folder that is being filled may need the others.
    """
    kept = needed() if names else None
    return set() if kept is None else {name for name in names if name.partition(".")[0] not in kept}


def _remove_unused(folder: Path) -> bool:
    """Whether the folder was removed: it stays where another process uses or fills it."""
    with (
        _open_private(folder / "lock", "w") as lock,
        _open_private(folder / "used", "a") as used,
    ):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(used, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        (folder / "complete").unlink(missing_ok=True)
        shutil.rmtree(folder)
        return True
