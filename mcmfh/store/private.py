"""Files and folders that their owner alone may read, whatever the umask: stores and caches hold patients' reports."""

import os
from pathlib import Path

FILE, FOLDER = 0o600, 0o700


def make_folder(path: Path) -> None:
    """Create a folder and the parents it lacks; those that exist keep their rights."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(FOLDER, exist_ok=True)


def opener(path: str, flags: int) -> int:
    """For `open(path, "w", opener=opener)`: a file that this call creates is private."""
    return os.open(path, flags, FILE)


def make_file(path: Path) -> None:
    """Create an empty file that a library then fills. Raises FileExistsError."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE))
