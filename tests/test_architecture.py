"""Who may import whom: the rules that keep every room usable on its own."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted(path for folder in ("mcmfh", "jobs") for path in (ROOT / folder).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Dotted names of the modules a file imports, wherever in the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def imports(path: Path, module: str) -> bool:
    return any(name == module or name.startswith(module + ".") for name in imported(path))


def room(path: Path) -> str:
    """mcmfh/hashing/experts.py -> 'hashing'; mcmfh/config.py -> 'config'; jobs/train.py -> 'jobs'."""
    parts = path.relative_to(ROOT).parts
    return "jobs" if parts[0] == "jobs" else parts[1].removesuffix(".py")


# Speak to Ray; what may be imported only by each other, and by the places where a user enters.
DISTRIBUTED = {"ray_session", "bulk", "training", "serving", "submission"}
ENTRIES = {"jobs", "cli", "demo"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_import_rules(path):
    place = room(path)
    if place not in DISTRIBUTED:
        assert not imports(path, "ray"), f"only {sorted(DISTRIBUTED)} speak to Ray"
    if place not in DISTRIBUTED | ENTRIES:
        for distributed in DISTRIBUTED:
            assert not imports(path, f"mcmfh.{distributed}"), f"{place} must be usable without Ray"
    if place == "hamming":
        assert not imports(path, "torch"), "the Hamming engine is numpy and numba"
    if place != "storage":
        assert not imports(path, "fsspec"), "files are opened by storage"
        assert not imports(path, "s3fs"), "files are opened by storage"
    if place not in {"archive", "storage"}:
        assert not imports(path, "pydicom"), "DICOM is opened by archive"
        assert not imports(path, "PIL.ImageFile"), "images are opened by archive"


def test_no_dumping_grounds_and_no_import_time_files():
    assert not [path for path in FILES if path.stem in {"utils", "helpers", "common", "misc"}]


def test_jobs_are_thin():
    long = {path.name: n for path in FILES if room(path) == "jobs" and (n := len(path.read_text().splitlines())) > 60}
    assert not long
