"""Who may import whom: one list of rooms, read left to right. A room imports only from rooms that stand before it."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted(path for folder in ("mcmfh", "jobs") for path in (ROOT / folder).rglob("*.py"))
IMPORT_ORDER = (
    "errors, processes, console, store, learning, hamming, client, archive, phantom, encoders, embeddings, snapshots, "
    "evaluation, hashing, pretraining, search, audit, config, ray_session, bulk, training, pipeline, feed, serving, "
    "submission, command, demo, benchmarks, cli, jobs"
)
ROOMS = IMPORT_ORDER.split(", ")
MAY_USE_RAY = {"ray_session", "bulk", "training", "pipeline", "submission", "benchmarks", "serving/deployment.py"}


def module(path: Path) -> str:
    """mcmfh/hashing/experts.py -> 'mcmfh.hashing.experts'; a package's __init__.py -> the package."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def room(name: str) -> str | None:
    """'mcmfh.hashing.experts' -> 'hashing'; 'jobs.train' -> 'jobs'; None for what is not ours."""
    first, _, rest = name.partition(".")
    return "jobs" if first == "jobs" else rest.partition(".")[0] or None if first == "mcmfh" else None


MODULES = {module(path): path for path in FILES}


@cache
def imported(path: Path) -> frozenset[str]:
    """Dotted names of the modules a file imports, wherever in the file, also those only for types."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(names)


def imports(path: Path, name: str) -> bool:
    return any(each == name or each.startswith(name + ".") for each in imported(path))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_import_rules(path):
    own = room(module(path))
    place = str(path.relative_to(ROOT / "mcmfh")) if own != "jobs" else "jobs"
    if own is not None:
        assert own in ROOMS, f"'{own}' has no place in the list of rooms"
        before = ROOMS[: ROOMS.index(own) + 1]
        later = sorted(name for name in imported(path) if (other := room(name)) in ROOMS and other not in before)
        assert not later, f"{own} stands before {later[0]}"
    if own not in MAY_USE_RAY and place not in MAY_USE_RAY:
        assert not imports(path, "ray"), f"only {sorted(MAY_USE_RAY)} speak to Ray"
    if own == "hamming":
        assert not imports(path, "torch"), "the Hamming engine is numpy and numba"
    if own != "store":
        assert not imports(path, "fsspec"), "files are opened by store"
        assert not any(imports(path, name) for name in ("s3fs", "adlfs", "gcsfs")), "files are opened by store"
    if own not in {"archive", "store"}:
        assert not imports(path, "pydicom"), "DICOM is opened by archive"
        assert not imports(path, "PIL.ImageFile"), "images are opened by archive"
    if own in ROOMS and ROOMS.index(own) < ROOMS.index("ray_session"):
        assert not imports(path, "mcmfh.config.Config"), "Config is known from ray_session rightwards"


def test_no_module_imports_itself_in_a_circle():
    """Also not by imports that stand in functions or are there for types only."""
    graph = {name: {each for each in imported(path) if each in MODULES} - {name} for name, path in MODULES.items()}
    open_, done = [], set()

    def walk(name: str) -> None:
        if name in open_:
            pytest.fail(f"a circle: {' → '.join([*open_[open_.index(name) :], name])}")
        if name in done:
            return
        open_.append(name)
        for other in sorted(graph[name]):
            # A package's __init__ gathers what stands in it; that is no circle.
            if not name.startswith(other + "."):
                walk(other)
        done.add(open_.pop())

    for name in graph:
        walk(name)


SIDE_EFFECTS = """
import builtins, os, socket, subprocess, sys, threading
sys.path[:0] = {paths}
package = {package!r}
opened = []
real = builtins.open
def watched(file, mode="r", *args, **kwargs):
    if set(mode) & set("wax+"): opened.append(str(file))
    return real(file, mode, *args, **kwargs)
before, threads, folder = dict(os.environ), threading.active_count(), os.getcwd()
def connect(*_): raise AssertionError("a connection at import")
socket.socket.connect = connect
for name in {libraries}: __import__(name)
before, threads = dict(os.environ), threading.active_count()
builtins.open = watched
for name in {modules}: __import__(name)
ours = [path for path in opened if "__pycache__" not in path]
assert not ours, f"written at import: {{ours}}"
assert dict(os.environ) == before, {{k: v for k, v in os.environ.items() if before.get(k) != v}}
assert threading.active_count() == threads, threading.enumerate()
assert os.getcwd() == folder
"""


def test_importing_has_no_side_effects():
    """No module of the package writes a file, starts a thread, opens a connection or changes the environment."""
    # What other people's libraries do at import is theirs: they are imported before.
    libraries = sorted(
        {
            name.partition(".")[0]
            for path in FILES
            for name in imported(path)
            if name.partition(".")[0] not in {"mcmfh", "jobs", *sys.stdlib_module_names}
        }
        & {"numpy", "torch", "ray", "pyarrow", "numba", "fastapi", "PIL", "pydicom", "fsspec", "s3fs", "matplotlib"}
    )
    libraries += ["ray.data", "ray.train.torch", "ray.serve", "torch.utils.tensorboard"]
    modules = [name for name in MODULES if not name.startswith("jobs")]
    code = SIDE_EFFECTS.format(paths=[str(ROOT)], package="mcmfh", libraries=libraries, modules=modules)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]


def test_no_dumping_grounds():
    assert not [path for path in FILES if path.stem in {"utils", "helpers", "common", "misc"}]


def test_files_are_short():
    assert not {str(path): n for path in FILES if (n := len(path.read_text().splitlines())) > 320}


def test_jobs_are_thin():
    long = {
        path.name: n for path in FILES if path.parent.name == "jobs" if (n := len(path.read_text().splitlines())) > 60
    }
    assert not long
