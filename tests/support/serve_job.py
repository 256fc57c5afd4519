"""jobs/serve.py in a process of its own, with a Ray of its own."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def command(root: str, **serve: object) -> list[str]:
    """The command line that serves the archive at `root`, store/archives/<name>."""
    store, _, name = root.rpartition("/archives/")
    settings = [f"store={store}", f"archive.name={name}", "cluster.num_cpus=2", "cluster.object_store_mb=150"]
    settings += [f"serve.{key}={value}" for key, value in serve.items()]
    return [sys.executable, "jobs/serve.py", *settings]


def environment() -> dict[str, str]:
    """Without what tests/conftest.py sets for the session's Ray."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return {**kept, "PYTHONPATH": str(REPOSITORY)}


@contextmanager
def serve_job(root: str, folder: Path, **serve: object) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run the job for the block; yields its process and the URL that it printed."""
    output = folder / "serve.log"
    with output.open("wb") as log:
        process = subprocess.Popen(
            command(root, **serve), cwd=REPOSITORY, env=environment(), stdout=subprocess.PIPE, stderr=log
        )
    try:
        assert process.stdout
        said, url = "", None
        while url is None:  # on a busy machine it says before that it is starting
            line = process.stdout.readline().decode()
            said, url = said + line, re.search(r"at (http://\S+);", line)
            assert line, f"{said}{output.read_text()}"
        yield process, url[1]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
