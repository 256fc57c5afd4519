"""No line of an audit can be changed, removed or cut unnoticed; a process that dies loses nothing."""

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import pytest

from mcmfh.audit.chain import Secret, read_secret
from mcmfh.audit.reading import local_folder, matching, read_audit
from mcmfh.audit.writer import Writer, take_up
from mcmfh.errors import InputError
from mcmfh.store import files

SECRET = Secret(b"s" * 32)


@pytest.fixture
def root(tmp_path) -> str:
    return f"file://{tmp_path}/store/archives/small"


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "local"


def writer(root: str, folder: Path, events: list | None = None) -> Writer:
    return Writer(
        root, SECRET, folder, 3600, lambda event, fields: (events if events is not None else []).append(event)
    )


def record(number: int, who: str = "ward") -> dict:
    return {
        "time": f"2026-01-01T00:00:{number:02d}Z",
        "who": who,
        "did": "item",
        "items": [SECRET.name("item", str(number))],
    }


@pytest.fixture
def written(root, folder) -> str:
    """Two chains of three segments each, one of them ended, and two lines that are on this machine alone."""
    first, second = writer(root, folder), writer(root, folder)
    for number in range(12):
        for each, who in ((first, "ward"), (second, "research")):
            each.write(record(number, who))
            if number % 4 == 3:
                each.seal()
    first.stop()
    for number in (12, 13):
        second.write(record(number, "research"))
    return root


def heads(root: str) -> list[Path]:
    return sorted(Path(root.removeprefix("file://")).glob("audit/heads/*/*.json"))


def segments(root: str) -> list[Path]:
    return sorted(Path(root.removeprefix("file://")).glob("audit/segments/*.jsonl"))


def test_everything_is_read_back_in_order(written, folder):
    audit = read_audit(written, SECRET, folder)
    assert audit.faults == []
    assert len(audit.records) == 12 + 14
    assert len(audit.open) == 1
    assert len(read_audit(written, SECRET).records) == 24, "two lines are on this machine alone"
    assert {each["who"] for each in matching(audit.records, "ward", None)} == {"ward"}
    wanted = {"items": {SECRET.name("item", "13")}, "studies": set()}
    assert [each["who"] for each in matching(audit.records, None, wanted)] == ["research"]


def test_all_files_are_private(written, folder):
    paths = [*folder.rglob("*"), *heads(written), *segments(written)]
    assert paths
    assert not [path for path in paths if stat.S_IMODE(path.stat().st_mode) & 0o077]


@pytest.mark.parametrize("number", range(5))
def test_a_removed_or_changed_line_is_found(written, folder, number):
    for path in segments(written):
        whole = path.read_bytes()
        lines = whole.splitlines(keepends=True)
        if number >= len(lines):
            continue
        for changed in (
            lines[:number] + lines[number + 1 :],
            [*lines[:number], lines[number].replace(b'"did":"item"', b'"did":"hash"'), *lines[number + 1 :]],
            lines[:number],
            [*lines[:number], lines[number][:-9]],
            lines[::-1],
        ):
            path.write_bytes(b"".join(changed))
            assert read_audit(written, SECRET, folder).faults, changed
        path.write_bytes(whole)
    assert not read_audit(written, SECRET, folder).faults


def test_removed_segments_and_heads_are_found(written, folder):
    for path in [*segments(written), *heads(written)[:-1]]:
        whole = path.read_bytes()
        path.unlink()
        assert read_audit(written, SECRET, folder).faults, path
        path.write_bytes(whole)
    *_, carrying, closing = heads(written)
    noted = read_audit(written, SECRET, folder).heads[-1]
    closing.unlink()
    audit = read_audit(written, SECRET, folder)
    assert (len(audit.records), len(audit.open)) == (26, 2), "no line is missing: the chain only seems to go on"
    # The number that was noted elsewhere tells.
    assert noted not in audit.heads
    carrying.unlink()
    assert read_audit(written, SECRET, folder).faults, "its segment is still there"


def test_a_cut_tail_is_found(written, folder):
    """The last line of a segment, with its file renamed to what it now holds: the head says how far the chain goes."""
    for path in segments(written):
        whole = path.read_bytes()
        cut = b"".join(whole.splitlines(keepends=True)[:-1])
        path.unlink()
        other = path.with_name(f"{files.digest(cut)}.jsonl")
        other.write_bytes(cut)
        assert read_audit(written, SECRET, folder).faults
        other.unlink()
        path.write_bytes(whole)


def test_an_unsealed_line_that_is_removed_under_a_running_process_is_found(root, folder):
    running = writer(root, folder)
    for number in range(3):
        running.write(record(number))
    lines = folder / running.chain / "lines"
    kept = lines.read_bytes().splitlines(keepends=True)
    lines.write_bytes(kept[0] + kept[2])
    assert read_audit(root, SECRET, folder).faults
    running.seal()  # from memory
    audit = read_audit(root, SECRET, folder)
    assert (audit.faults, len(audit.records)) == ([], 3)


def test_another_secret_reads_nothing(written, folder):
    audit = read_audit(written, Secret(b"t" * 32), folder)
    assert audit.records == []
    assert "or the secret is another" in audit.faults[0]


DYING = """
import os, signal, sys
from pathlib import Path
from mcmfh.audit import heads, writer
from mcmfh.audit.chain import Secret
root, folder, when = sys.argv[1:]
chain = writer.Writer(root, Secret(b"s" * 32), Path(folder), 3600, print)
def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)
for number in range(7):
    chain.write({"time": f"t{number}", "who": "ward", "did": "item"})
    if number == 2:
        chain.seal()
if when == "before sealing": die()
if when == "before the head": heads.publish = die
if when == "after the head": chain._drop = die
chain.seal()
"""


@pytest.mark.parametrize("when", ["before sealing", "before the head", "after the head"])
def test_what_a_killed_process_left_is_taken_up_once(when, root, folder):
    done = subprocess.run(
        [sys.executable, "-c", DYING, root, str(folder), when], env={**os.environ, "PYTHONPATH": os.getcwd()}
    )
    assert done.returncode == -signal.SIGKILL
    alive = writer(root, folder)
    alive.write(record(1))
    for _ in range(2):
        take_up(root, SECRET, folder)
    audit = read_audit(root, SECRET)
    assert audit.faults == []
    assert [each["time"] for each in audit.records] == [f"t{number}" for number in range(7)]
    assert [path.name for path in folder.iterdir()] == [alive.chain], "the living chain is left alone"
    alive.stop()
    assert len(read_audit(root, SECRET).records) == 8


def test_half_a_line_of_a_killed_process_is_left_out(root, folder):
    dead = writer(root, folder)
    dead.write(record(1))
    with (folder / dead.chain / "lines").open("ab") as file:
        file.write(b'{"half": ')
    dead._held.close()
    take_up(root, SECRET, folder)
    audit = read_audit(root, SECRET, folder)
    assert (audit.faults, len(audit.records)) == ([], 1)


@pytest.mark.parametrize(
    "junk",
    [
        *(b"junk\n", b"\xff\n", b"5\n", b"[]\n", b"{}\n", b"[" * 100_000 + b"\n", b"\n\n"),
        b'{"number": "1", "previous": ""}\n',
        b'{"number": 1, "previous": 5, "mac": 5}\n',
    ],
)
def test_a_broken_chain_is_told_and_holds_up_no_other(junk, root, folder):
    """On this machine as in the store; the one that sorts first would be taken up first."""
    (folder / "0").mkdir(parents=True)
    (folder / "0" / "lines").write_bytes(junk)
    (folder / "0" / "lock").touch()
    (folder / "notes").write_text("no chain")
    dead = writer(root, folder)
    dead.write(record(1))
    dead._held.close()
    assert take_up(root, SECRET, folder) == [dead.chain]
    segments_ = Path(root.removeprefix("file://")) / "audit/segments"
    (segments_ / f"{'0' * 64}.jsonl").write_bytes(junk)
    audit = read_audit(root, SECRET, folder)
    assert len(audit.records) == 1
    assert len(audit.faults) == 2
    assert (folder / "0" / "lines").exists(), "a broken chain is evidence, and is left"


def test_a_store_that_is_away_costs_no_line(root, folder, tmp_path):
    (tmp_path / "store").write_text("not a folder")
    chain = writer(root, folder, events := [])
    chain.write(record(1))
    chain.stop()
    assert events == ["audit_failed"]
    (tmp_path / "store").unlink()
    take_up(root, SECRET, folder)
    assert len(read_audit(root, SECRET).records) == 1


def test_a_record_costs_no_copy_of_those_that_wait(root, folder):
    one = writer(root, folder)
    for number in range(2000):
        one.write(record(number % 60))
    waiting = (folder / one.chain / "lines").stat().st_size
    tracemalloc.start()
    one.write(record(0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < waiting / 10
    one.stop()
    assert len(read_audit(root, SECRET).records) == 2001


@pytest.mark.parametrize("flush", ["_sync", "seal"])
def test_requests_are_recorded_while_the_disk_is_flushed(flush, root, folder, monkeypatch):
    one, flushing, go_on = writer(root, folder), threading.Event(), threading.Event()
    one.write(record(0))

    def hang(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").resolve().is_relative_to(folder):
            flushing.set()
            assert go_on.wait(60)

    monkeypatch.setattr("mcmfh.audit.writer.os.fsync", hang)
    thread = threading.Thread(target=getattr(one, flush))
    thread.start()
    assert flushing.wait(60)
    recording = threading.Thread(target=one.write, args=(record(1),))
    recording.start()
    recording.join(30)
    recorded = not recording.is_alive()
    go_on.set()
    thread.join()
    recording.join()
    assert recorded
    monkeypatch.undo()
    one.seal()
    one.write(record(2))
    one.stop()
    assert len(read_audit(root, SECRET).records) == 3


def test_racing_processes_make_one_list_of_heads(root, folder):
    from concurrent.futures import ThreadPoolExecutor

    def run(turn: int) -> None:
        chain = writer(root, folder)
        for number in range(6):
            chain.write(record(number, f"key-{turn}"))
            chain.seal()
        chain.stop()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(run, range(4)))
    audit = read_audit(root, SECRET, folder)
    assert (audit.faults, audit.open, len(audit.records)) == ([], [], 24)
    assert json.loads(heads(root)[-1].read_bytes())["number"] == len(heads(root))


def test_a_secret_must_be_long_and_there(tmp_path):
    path = tmp_path / "secret"
    with pytest.raises(InputError, match="cannot be read"):
        read_secret(str(path))
    path.write_text("short\n")
    with pytest.raises(InputError, match="fewer than 32 bytes"):
        read_secret(str(path))
    path.write_text("0123456789abcdef" * 4 + "\n")
    assert read_secret(str(path)).key == b"0123456789abcdef" * 4
    assert local_folder("~/x", "s3://b/archives/a") != local_folder("~/x", "s3://b/archives/b")
