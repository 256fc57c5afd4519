"""Files that writers left who died before their object became visible (see `files.create`)."""

import re
from pathlib import Path

from mcmfh.store import files

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}")


def delete_leftovers(uri: str) -> int:
    """Delete them below `uri`, where nothing may be writing; returns how many. Buckets hold none."""
    if not files.is_local(uri):
        return 0
    left = [path for path in Path(files.absolute(uri).removeprefix("file://")).rglob(".*") if path.is_file()]
    left = [path for path in left if _TEMPORARY.fullmatch(path.name)]
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)
