"""What a node keeps of an archive's snapshots: the newest two, any other that is open, and the shards that they list.

<cache>/<snapshot>/lock        held while the folder is filled or swept
<cache>/<snapshot>/used        held, shared, as long as a process has the snapshot open
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
# A file that no complete folder lists may belong to one that is being filled.
GRACE_S = 3600.0


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """The folder is nobody else's to fill or sweep."""
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def in_use(folder: Path) -> TextIO:
    """Marks the folder as used until the file returned is closed or forgotten."""
    file = (folder / "used").open("a")
    fcntl.flock(file, fcntl.LOCK_SH)
    return file


def completed(folder: Path) -> dict[str, Any] | None:
    """What a filled folder holds; None while it is not filled."""
    try:
        return json.loads((folder / "complete").read_bytes())
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None


def complete(folder: Path, root: str, number: int, files: Sequence[str]) -> None:
    """Declare the folder filled."""
    (folder / "complete").write_text(json.dumps({"root": root, "number": number, "files": list(files)}))


def sweep(cache: Path, root: str) -> None:
    """Remove what is kept of older snapshots of the archive at `root` and used by nobody, and shards listed no more."""
    filled = {folder: facts for folder in cache.iterdir() if (facts := completed(folder))}
    numbers = sorted({facts["number"] for facts in filled.values() if facts["root"] == root})
    for folder, facts in [*filled.items()]:
        if facts["root"] == root and facts["number"] not in numbers[-KEPT:] and _removed(folder):
            del filled[folder]
    listed = {name for facts in filled.values() for name in facts["files"]}
    for file in (cache / "shards").iterdir():
        if file.name not in listed and file.stat().st_mtime < time.time() - GRACE_S:
            file.unlink(missing_ok=True)


def _removed(folder: Path) -> bool:
    with (folder / "lock").open("w") as lock, (folder / "used").open("a") as used:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(used, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        (folder / "complete").unlink()
        shutil.rmtree(folder)
        return True
