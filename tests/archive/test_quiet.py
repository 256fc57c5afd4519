"""Whatever a decoder makes of a file, nothing of it is said in a warning, in a log or on the terminal."""

import subprocess
import sys
from pathlib import Path

from support.marked_archive import Marked

_PROGRAM = """
import logging, sys
from pathlib import Path
from mcmfh.archive.discover import survey
from mcmfh.archive.loading import item_fingerprints, load_items

logging.basicConfig(level=logging.INFO)
survey(sys.argv[1])
files = [path.as_uri() for path in Path(sys.argv[1]).rglob("*") if path.is_file()]
items = [{column: uri} for uri in files for column in ("image_uri", "report_uri")]
items += [{"report": path.read_text("latin-1")} for path in Path(sys.argv[1]).rglob("*") if path.is_file()]
item_fingerprints(items)
reasons = [loaded.reason for loaded in load_items(items)]
print(len(reasons), "items", sum(reason is None for reason in reasons), "loaded")
"""


def test_nothing_is_said_of_names_that_a_decoder_meets(tmp_path):
    marked = Marked(tmp_path / "export")
    for path in sorted((tmp_path / "export").rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            for part in (1, 3, 7):  # cut, and overwritten with a name, at some places
                marked.put(f"cut/{part}-{path.name}", data[: len(data) * part // 9])
                written = data[: len(data) * part // 9] + marked.identities[0].encode() + data[len(data) * part // 8 :]
                marked.put(f"overwritten/{part}-{path.name}", written)
    command = [sys.executable, "-W", "always", "-c", _PROGRAM, str(tmp_path / "export")]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    assert " items " in said
    assert [name for name in (*marked.identities, *marked.births, *marked.paths) if name in said] == []
