"""The snapshots that a node keeps of an archive: the newest two, every other that is open, and the shards they list.

<cache>/<snapshot>/lock        locked while the folder is filled or removed
<cache>/<snapshot>/used        locked, shared, as long as a process has the snapshot open
<cache>/<snapshot>/complete    written last: {"root", "number", "files": names in <cache>/shards}
"""

import fcntl
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

KEPT = 2
# A shard file that no complete folder lists may belong to a folder that is being filled.
GRACE_S = 3600.0


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, so that no other process fills or removes it."""
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def in_use(folder: Path) -> TextIO:
    """A file that marks the folder as used until it is closed or garbage-collected."""
    file = (folder / "used").open("a")
    fcntl.flock(file, fcntl.LOCK_SH)
    return file


def completed(folder: Path) -> dict[str, Any] | None:
    """The content of the folder's file `complete`; None where the folder is not filled."""
    try:
        facts: dict[str, Any] = json.loads((folder / "complete").read_bytes())
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None
    return facts


def complete(folder: Path, root: str, number: int, files: Sequence[str]) -> None:
    """Mark the folder as filled."""
    (folder / "complete").write_text(json.dumps({"root": root, "number": number, "files": list(files)}))


def sweep(cache: Path, root: str, grace_s: float = GRACE_S) -> None:
    """Remove older snapshots of the archive at `root` that no process has open, and shard files no snapshot lists.

    A shard file younger than `grace_s` seconds stays.
    """
    filled = {folder: facts for folder in cache.iterdir() if (facts := completed(folder))}
    numbers = sorted({facts["number"] for facts in filled.values() if facts["root"] == root})
    for folder, facts in list(filled.items()):
        if facts["root"] == root and facts["number"] not in numbers[-KEPT:] and _remove_unused(folder):
            del filled[folder]
    listed = {name for facts in filled.values() for name in facts["files"]}
    for file in (cache / "shards").iterdir():
        if file.name not in listed and file.stat().st_mtime < time.time() - grace_s:
            file.unlink(missing_ok=True)


def _remove_unused(folder: Path) -> bool:
    """Whether the folder was removed: it stays where another process uses or fills it."""
    with (folder / "lock").open("w") as lock, (folder / "used").open("a") as used:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(used, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        (folder / "complete").unlink()
        shutil.rmtree(folder)
        return True
