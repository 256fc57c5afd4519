"""Who is planted in the inputs stands in nothing that is written: logs, metrics, job output, errors, answers, store."""

import csv
import json
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.marked_archive import Marked

from mcmfh.archive.discover import survey
from mcmfh.client import search_endpoint
from mcmfh.config import load_config
from mcmfh.pipeline.archive import open_manifest, read_archive

pytestmark = pytest.mark.ray
_MAY_HOLD_PATHS = ("image_uri", "report_uri")


def write_table(marked: Marked, target: Path) -> None:
    """A hospital's CSV: the export's files, columns with identities beside them, and rows that are wrong."""
    rows = survey(str(marked.folder)).table.to_pylist()
    names = ["item_id", "image_uri", "report_uri", "study_id", "group", "labels", "patient_name", "mrn"]
    with target.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(names)
        for number, row in enumerate(rows):
            labels = f"finding:{number % 3}"
            own = [marked.identity("Col"), marked.identity("Cell")] if number < 30 else ["", ""]
            table.writerow([*(row[name] for name in names[:5]), labels, *own])
        for number, path in enumerate(sorted(marked.folder.glob("WkLost*/*"))):
            table.writerow([f"bad{number}", "", str(path), f"b{number}", f"b{number}", "", "", ""])
        table.writerow(["gone", marked.path("Gone"), "", "s", "g", "", marked.identity("Col"), ""])
        table.writerow(["web", f"http://host/{marked.path('Web')}", "", "s1", "g1", "", marked.identity("Col"), ""])
        table.writerow(["long", marked.identity("Row"), "too", "few"])
        table.writerow(["outside", f"/etc/{marked.path('Etc')}/x.png", "", "s2", "g2", "", "", ""])
        file.write(f'quote,"{marked.identity("Open")},,,,,,\n')
        for number in range(20):
            table.writerow([f"none{number}", f"{marked.path('No')}/x.png", "", f"z{number}", f"z{number}", "", "", ""])


def strings(folder: Path) -> Iterator[tuple[str, bytes]]:
    """(what it is, bytes) of every file below a folder, names too; Parquet by columns, because it is compressed."""
    for path in sorted(folder.rglob("*")):
        yield "name of a file", str(path.relative_to(folder)).encode()
        if not path.is_file():
            continue
        data = path.read_bytes()
        yield path.name, data
        if data[:4] == b"PAR1":
            table = pq.read_table(path)
            yield f"metadata of {path.name}", repr(table.schema.metadata).encode()
            for name in table.column_names:
                if not pa.types.is_floating(table[name].type):
                    yield name, repr(table[name].to_pylist()).encode()


def ask(url: str, body: bytes, kind: str = "application/json") -> bytes:
    request = urllib.request.Request(url, body or None, {"Content-Type": kind} if body else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.read()
    except urllib.error.HTTPError as error:
        return error.read()


def mcmfh(*arguments: str) -> bytes:
    """What the command prints."""
    done = subprocess.run([sys.executable, "-m", "mcmfh.cli", *arguments], capture_output=True, timeout=300)
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def written(tmp_path_factory, cluster):
    """(the markers, what was written: (what it is, bytes)), after every command has had its turn."""
    import ray
    from ray import serve

    from mcmfh.pipeline.embed import embed_archive
    from mcmfh.pipeline.evaluate import evaluate_archive
    from mcmfh.pipeline.hash import hash_archive
    from mcmfh.pipeline.train import train_archive
    from mcmfh.serving.deployment import start

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("marked")
    marked = Marked(folder / "in" / "export")
    write_table(marked, folder / "in" / "table.csv")
    settings = [f"archive.manifest={folder}/in/table.csv", f"store={folder}/store", "archive.max_failure_rate=0.9"]
    training = ["train.bits=[16, 32]", "train.epochs=2", "train.batch_size=8", "train.min_steps=1"]
    config = load_config([*settings, *training, "embed.workers=1", f"serve.port={port}"], read_default=False)
    said = [("output of check", mcmfh("check", f"{folder}/in/table.csv"))]
    archive = read_archive(config.archive)
    embedded = embed_archive(config, open_manifest(config.archive))
    trained = train_archive(config, archive)
    evaluated = evaluate_archive(config, archive, trained.bundle)
    published = hash_archive(config, open_manifest(config.archive))
    said += [("job", repr(each).encode()) for each in (embedded, trained, evaluated, published)]
    url = start(config)
    try:
        bad = json.dumps({"report": marked.identity("Query"), "k": -1}).encode()
        for body in (b'{"report": "left pleural effusion", "k": 20}', bad, b"{"):
            said.append(("answer", ask(f"{url}/v1/search", body)))
        picture = next(marked.folder.rglob("study*/*.png")).read_bytes()
        said.append(("answer", repr(search_endpoint([url], picture, {"k": 20}, None)).encode()))
        for item in archive.items["item_id"].to_pylist():
            said.append(("answer", ask(f"{url}/v1/items/{item}", b"")))
        said += [("answer", ask(f"{url}/{path}", b"")) for path in ("metrics", "v1/version", "readyz", "v1/items/none")]
    finally:
        serve.shutdown()
    snapshot = f"{folder}/store/archives/{config.archive.name}"
    said.append(("output of search", mcmfh("search", "--report", "effusion", "--snapshot", snapshot)))
    logs = Path(ray._private.worker._global_node.get_logs_dir_path())
    return marked, published, [*said, *strings(folder / "store"), *strings(logs)]


def test_200_markers_are_planted_and_their_items_are_hashed_or_quarantined(written):
    marked, published, said = written
    assert len({*marked.identities, *marked.paths, *marked.births}) >= 200
    assert published.items >= 20
    assert published.quarantined.num_rows >= 25
    kinds = {kind for kind, _ in said}
    assert {"answer", "output of check", "output of search", "image_uri", "report", "reason", "metrics.json"} <= kinds


def test_no_identity_is_repeated_anywhere(written):
    marked, _, said = written
    leaks = {(kind, one) for kind, text in said for one in (*marked.identities, *marked.births) if one.encode() in text}
    assert not leaks


def test_names_of_folders_and_files_stand_in_addresses_alone(written):
    marked, _, said = written
    leaks = {
        (kind, one)
        for kind, text in said
        if kind not in _MAY_HOLD_PATHS and not kind.startswith("output of check")
        for one in marked.paths
        if one.encode() in text
    }
    assert not leaks


def test_files_that_hold_addresses_are_their_owners_alone(written):
    folder = written[0].folder.parents[1] / "store"
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.rglob("*"))
