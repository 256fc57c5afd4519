"""Writes one chain: to a file of this machine at once, to the store every few seconds.

    <folder>/<chain>/lines    lines that are not in the store yet, readable by their owner alone
    <folder>/<chain>/lock     locked as long as the process lives

A line is in the operating system's hands before `write` returns, and on the disk a second later. What a process left
that died, the next writer in the same folder takes up and seals.
"""

import fcntl
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from mcmfh.audit import addresses, heads
from mcmfh.audit.chain import START, Broken, Secret, next_line, parsed_lines, verified_records, whole_lines
from mcmfh.audit.heads import Segment
from mcmfh.store import files, private

SYNC_S = 1.0
Report = Callable[[str, dict[str, Any]], None]


class Writer:
    """The chain of this process. `report(event, fields)` is called where a file cannot be written or sealed."""

    def __init__(self, root: str, secret: Secret, folder: Path, seal_seconds: float, report: Report):
        self.root, self.secret, self.folder, self.report = root, secret, folder, report
        self.seal_seconds = seal_seconds
        self.number, self.mac = 0, START
        self._sealed = 0
        self._pending: list[bytes] = []
        self._lock, self._sealing = threading.Lock(), threading.Lock()
        home, self._held = _new_home(folder)
        self.chain = home.name
        self._lines = home / "lines"
        self._file = os.open(self._lines, os.O_WRONLY | os.O_CREAT | os.O_APPEND, private.FILE)
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._again, args=(SYNC_S, self._sync), name="audit-sync", daemon=True),
            threading.Thread(target=self._again, args=(seal_seconds, self._seal_all), name="audit-seal", daemon=True),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def write(self, record: Mapping[str, Any]) -> None:
        """Append a record. Raises OSError where that fails; the chain then goes on as if it had not been tried."""
        with self._lock:
            line, mac = next_line(self.secret, self.number + 1, self.mac, record)
            end = os.fstat(self._file).st_size
            try:
                _write_all(self._file, line)
            except OSError:
                os.ftruncate(self._file, end)
                raise
            self.number, self.mac = self.number + 1, mac
            self._pending.append(line)

    def seal(self, closed: bool = False) -> None:
        """Put the lines that the store does not hold yet into a segment, and publish the chain's head."""
        with self._sealing:
            with self._lock:
                lines, number, mac = list(self._pending), self.number, self.mac
            data = b"".join(lines)
            if not data and not (closed and number):
                return
            publish_lines(
                self.root,
                self.secret,
                data,
                Segment(self.chain, self._sealed + 1, number, mac, files.digest(data), closed),
            )
            self._sealed = number
            self._drop(len(lines))

    def stop(self) -> None:
        """Seal what is left and end the chain. Where the store does not answer, the lines stay for the next writer."""
        self._stop.set()
        try:
            self.seal(closed=True)
        except Exception as error:
            self.report("audit_failed", {"reason": f"not sealed ({type(error).__name__})"})
            self._held.close()
        else:
            shutil.rmtree(self._lines.parent, ignore_errors=True)
            self._held.close()
        os.close(self._file)

    def _drop(self, lines: int) -> None:
        """Replace the local file by one without its first `lines`, which the store holds.

        Requests wait for the lock when they are recorded, so nothing is flushed to the disk while it is held.
        """
        with self._lock:
            del self._pending[:lines]
            left = list(self._pending)
        fresh = self._lines.with_name("fresh")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, private.FILE)
        _write_all(descriptor, b"".join(left))
        os.fsync(descriptor)
        with self._lock:
            _write_all(descriptor, b"".join(self._pending[len(left) :]))
            fresh.replace(self._lines)
            os.close(self._file)
            self._file = descriptor

    def _sync(self) -> None:
        with self._lock:
            descriptor = os.dup(self._file)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _seal_all(self) -> None:
        self.seal()
        take_up(self.root, self.secret, self.folder)

    def _again(self, seconds: float, call: Callable[[], None]) -> None:
        while not self._stop.wait(seconds):
            try:
                call()
            except Exception as error:  # the store may be away for hours; the lines wait here
                self.report("audit_failed", {"reason": f"not sealed ({type(error).__name__})"})


def _write_all(descriptor: int, data: bytes) -> None:
    """Write `data`. Raises OSError where the disk is full."""
    if os.write(descriptor, data) != len(data):
        raise OSError("the disk is full")


def publish_lines(root: str, secret: Secret, data: bytes, segment: Segment) -> None:
    """Store the lines of a segment, then its head."""
    if data:
        files.put(addresses.segment_file(root, segment.lines), data)
    heads.publish(root, secret, segment)


def take_up(root: str, secret: Secret, folder: Path) -> list[str]:
    """Seal what processes left in `folder` that have died; returns their chains. A broken chain is left as it is."""
    taken = []
    for home in sorted(folder.iterdir()) if folder.is_dir() else ():
        try:
            held = _locked(home)
        except (BlockingIOError, NotADirectoryError, FileNotFoundError):
            continue
        with held, suppress(Broken):  # `mcmfh audit verify` says so
            if _seal_left(root, secret, home):
                taken.append(home.name)
            shutil.rmtree(home, ignore_errors=True)
    return taken


def left_lines(home: Path) -> bytes:
    """The lines in a chain's local folder, without one that is not whole."""
    lines = home / "lines"
    return whole_lines(lines.read_bytes()) if lines.exists() else b""


def _seal_left(root: str, secret: Secret, home: Path) -> bool:
    """Whether a dead process left lines that the store did not hold; they are sealed. Raises Broken."""
    data = left_lines(home)
    if not data:
        return False
    # It may have died after it had published the first of them, and before it took note of that.
    sealed = max((h.segment.last for h in heads.read_heads(root, secret) if h.segment.chain == home.name), default=0)
    numbers = parsed_lines(data)
    list(verified_records(secret, data, numbers[0]["number"], numbers[0]["previous"]))
    left = [line for line, fields in zip(data.splitlines(keepends=True), numbers) if fields["number"] > sealed]
    if not left:
        return False
    data, last = b"".join(left), numbers[-1]
    first = last["number"] - len(left) + 1
    publish_lines(root, secret, data, Segment(home.name, first, last["number"], last["mac"], files.digest(data), False))
    return True


def _new_home(folder: Path) -> tuple[Path, TextIO]:
    """(the folder of a new chain, its lock, held). Another process may take up a folder that is not locked yet."""
    while True:
        home = folder / secrets.token_hex(8)
        private.make_folder(home)
        try:
            held = _locked(home)
        except (BlockingIOError, FileNotFoundError):
            continue
        if (home / "lock").exists() and os.stat(home / "lock").st_ino == os.fstat(held.fileno()).st_ino:
            return home, held
        held.close()


def _locked(home: Path) -> TextIO:
    """The open lock file of a chain. Raises BlockingIOError where a process that lives holds it."""
    file = open(home / "lock", "a", opener=private.opener)  # noqa: SIM115 (held as long as the chain)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise
    return file
