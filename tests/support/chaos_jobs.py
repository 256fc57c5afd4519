"""Real jobs in processes of their own, on a small archive of files and a light encoder, and what they published."""

import csv
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from support.child import light_encoder

from mcmfh.encoders import EncoderSpec
from mcmfh.hashing.bundle import save_bundle
from mcmfh.hashing.canary import embedding_canary
from mcmfh.hashing.coder import Coder, Shape
from mcmfh.hashing.settings import ModelSettings
from mcmfh.processes import below, command_line
from mcmfh.snapshots import shards
from mcmfh.snapshots.document import SnapshotDocument, newest_snapshot
from mcmfh.store import files
from mcmfh.store.layout import archive_root

REPOSITORY = Path(__file__).parents[2]
BROKEN = 3


def write_archive(folder: str, items: int) -> str:
    """A manifest of pictures with reports (every seventh without) and BROKEN unreadable ones; returns its URI."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(items):
        sink = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (12, 12), np.uint8)).save(sink, "PNG")
        name, data = f"i{number:05d}", b"no picture" if number < BROKEN else sink.getvalue()
        files.create(files.join(folder, "pictures", f"{name}.png"), data)
        report = f"finding {rng.integers(10**9)}" if number % 7 else ""
        rows.append({"item_id": name, "image_uri": f"pictures/{name}.png", "report": report, "labels": "a|b"})
    return write_manifest(folder, rows)


def write_manifest(folder: str, rows: list[dict[str, str]], name: str = "manifest") -> str:
    sink = io.StringIO()
    writer = csv.DictWriter(sink, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    uri = files.join(folder, f"{name}.csv")
    files.create(uri, sink.getvalue().encode())
    return uri


def read_rows(manifest: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(files.read(manifest).decode())))


def save_model(root: str, seed: int = 0, spec: EncoderSpec | None = None) -> str:
    """A bundle with random hash heads for the light encoder, or for `spec`, which has its shape; its URI."""
    spec = spec or light_encoder.spec()
    shape = Shape(ModelSettings(hidden=16), spec.image_width, spec.report_width, (16, 32), seed)
    model = shape.build().eval()
    image, report = np.random.default_rng(seed).standard_normal((2, 64, light_encoder.WIDTH)).astype(np.float32)
    canary = embedding_canary(Coder(model, shape).all_logits, image, report, seed)
    return save_bundle(root, model, shape, spec, calibration={}, metrics={}, canary=canary, training={})


def start(
    job: str, store: str, manifest: str, bundle: str, folder: Path, *more: str, death: str = "", gate: str = ""
) -> subprocess.Popen[bytes]:
    """Start jobs/<job>.py; its log (see sitecustomize) and output go to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(REPOSITORY / "jobs" / f"{job}.py"), f"store={store}", f"archive.manifest={manifest}"]
    command += [f"hash.bundle={bundle}", "embed.unit_items=32", "embed.workers=2", "cluster.num_cpus=2", *more]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_") or "AUTH" in name}
    environment |= {
        "PYTHONPATH": f"{REPOSITORY / 'tests' / 'support' / 'child'}:{REPOSITORY}",
        "CHAOS_FOLDER": str(folder),
        "CHAOS_DEATH": death,
        "CHAOS_GATE": gate,
    }
    with (folder / "output").open("ab") as output:
        return subprocess.Popen(command, stdout=output, stderr=output, env=environment, cwd=folder)


def run(*arguments: Any, **keywords: Any) -> None:
    """`start`, and wait for success."""
    assert start(*arguments, **keywords).wait(400) == 0, (arguments[4] / "output").read_text()[-4000:]


def lines(folder: Path, word: str = "") -> list[str]:
    """The log's whole lines that begin with `word`."""
    log = folder / "log"
    return [line for line in log.read_text().splitlines() if line.startswith(word)] if log.exists() else []


def encoded(folder: Path) -> int:
    """Items that passed the encoder's report tower's door, work that was lost included."""
    return sum(int(line.split()[1]) for line in lines(folder, "encode"))


def processes(parent: int) -> Iterator[tuple[int, str]]:
    """(pid, command line) of all descendants of a process."""
    return ((pid, command_line(pid).replace("\0", " ")) for pid in below(parent)[1:])


def kill(*pids: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def published(store: str, archive: str = "archive") -> SnapshotDocument:
    """The head snapshot's document."""
    head = newest_snapshot(archive_root(store, archive))
    assert head is not None
    return head[1]


def codes(store: str, archive: str = "archive") -> dict[str, tuple[bytes, ...]]:
    """item_id → its codes in the head snapshot; fails where an item stands twice."""
    root = archive_root(store, archive)
    document = published(store, archive)
    removed = shards.read_tombstones(root, document.tombstones, document.rows)
    found: dict[str, tuple[bytes, ...]] = {}
    row = 0
    for shard in document.shards:
        tensors = shards.read_codes(root, shard)
        items = shards.read_items(root, shard)
        for i, item in enumerate(items["item_id"].to_pylist()):
            if not removed[row + i]:
                assert item not in found, f"{item} stands twice"
                found[item] = tuple(tensors[name][i].tobytes() for name in sorted(tensors) if "present" not in name)
        row += shard.rows
    return found


def shown(store: str, archive: str = "archive") -> list[dict[str, Any]]:
    """All columns of every item in the head snapshot."""
    root = archive_root(store, archive)
    document = published(store, archive)
    removed = shards.read_tombstones(root, document.tombstones, document.rows)
    rows = []
    for shard in document.shards:
        items = shards.read_items(root, shard)
        columns = shards.read_shown(root, shard, shards.SHOWN)
        rows += [{**a, **b} for a, b in zip(items.to_pylist(), columns.to_pylist())]
    return [row for row, gone in zip(rows, removed) if not gone]
