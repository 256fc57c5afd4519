"""Changing to new snapshots while serving: the watcher of a replica polls for one, opens it, checks it, swaps it in.

The swap replaces one reference. A request reads the reference once, so no answer mixes two snapshots; the old snapshot
stays open until its last request is done. The newest snapshot that is sound is served, when a replica starts as later.
One that cannot be opened, or that fails the canary queries, is reported, and the watcher retries it at growing
intervals until a newer snapshot replaces it.

A second thread sweeps the node's cache: it verifies every file of the current snapshot again. Where one was changed,
nothing is answered from the snapshot until it has been opened anew, which fetches the file again.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mcmfh.errors import InputError
from mcmfh.hashing.bundle import Bundle
from mcmfh.search.retrieval import Retrieval
from mcmfh.serving.canary import check_against
from mcmfh.snapshots.document import snapshot_numbers
from mcmfh.store.documents import Damaged
from mcmfh.store.outages import is_outage

LONGEST_PAUSE_S = 600.0


@dataclass(frozen=True)
class Failure:
    """Why the newest snapshot is not served, in words that hold no addresses."""

    snapshot: int | None  # None: the store could not be listed
    reason: str
    attempts: int


class Watcher:
    """Holds the Retrieval that answers (`current`) and replaces it.

    `open_retrieval(number, loaded models)` opens a snapshot, `load(bundle, its URI)` loads the encoder of a model, and
    `report(event, fields)` is called after each swap and each failure.
    """

    def __init__(
        self,
        root: str,
        open_retrieval: Callable[[int | None, Sequence[Bundle]], Retrieval],
        poll_seconds: float,
        report: Callable[[str, dict[str, Any]], None] = lambda event, fields: None,
        clock: Callable[[], float] = time.monotonic,
        load: Callable[[Bundle, str], None] = lambda bundle, uri: None,
        sweep_seconds: float = 3600.0,
    ):
        self.sweep_seconds = sweep_seconds
        self.root, self.open_retrieval, self.poll_seconds = root, open_retrieval, poll_seconds
        self.report, self.clock, self.load = report, clock, load
        self.failure: Failure | None = None
        self._retry_at = 0.0
        self.current = self._first()
        self._damaged: Retrieval | None = None
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._poll_again, name="snapshot-watcher", daemon=True),
            threading.Thread(target=self._sweep_again, name="cache-sweeper", daemon=True),
        ]

    @property
    def damaged(self) -> bool:
        """Whether a cached file of the current snapshot was changed, so that nothing may be answered from it."""
        return self._damaged is self.current

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def died(self) -> bool:
        """Whether a thread ended without `stop`."""
        ended = any(thread.ident is not None and not thread.is_alive() for thread in self._threads)
        return ended and not self._stop.is_set()

    def stop(self) -> None:
        """Stop polling; returns after a poll in progress has ended. A sweep in progress ends by itself."""
        self._stop.set()
        if self._threads[0].is_alive():
            self._threads[0].join()

    def poll(self) -> bool:
        """Whether a newer snapshot was swapped in by this poll. Never raises."""
        try:
            newer = [number for number in snapshot_numbers(self.root) if number > self.current.snapshot.number]
        except Exception as error:  # whatever failed, the old snapshot still answers
            self._failed(None, error)
            return False
        if not newer:
            self.failure = None
            return False
        newest = newer[-1]
        if self.failure and self.failure.snapshot == newest and self.clock() < self._retry_at:
            return False
        for number in reversed(newer):
            try:
                self.swap(number)
            except Exception as error:
                self._failed(number, error, newest)
                if is_outage(error):
                    return False
            else:
                if number == newest:
                    self.failure = None
                return True
        return False

    def _first(self) -> Retrieval:
        """The newest snapshot that is sound, with its encoder. Raises what opening the newest raises if none is."""
        numbers = snapshot_numbers(self.root)
        fault: Exception | None = None
        for number in reversed(numbers):
            try:
                first = self.open_retrieval(number, ())
                self.load(first.bundle, first.bundle_uri)
                return first
            except Exception as error:
                if is_outage(error):
                    raise
                fault = fault or error
                self._failed(number, error, numbers[-1])
        if fault is not None:
            raise fault
        return self.open_retrieval(None, ())  # raises InputError: there is no snapshot

    def swap(self, number: int) -> None:
        """Serve snapshot `number` from now on. Raises what opening, loading or checking it raises."""
        old = self.current
        new = self.open_retrieval(number, [old.bundle])
        if new.bundle is not old.bundle:
            self.load(new.bundle, new.bundle_uri)
        check_against(new if self.damaged else old, new)
        self.current = new  # one reference: a request sees either the old or the new snapshot
        self.report("snapshot", {"snapshot": number, "items": new.snapshot.document.items})

    def sweep(self) -> bool:
        """Whether the current snapshot's cached files are as they were; where not, it is opened anew. Never raises."""
        current = self.current
        if not self.damaged:
            try:
                names = current.snapshot.damaged()
            except Exception as error:  # what cannot be read is not served either
                names = [type(error).__name__]
            if not names:
                return True
            self._damaged = current
            self.report("cache_damaged", {"snapshot": current.snapshot.number, "files": len(names)})
        try:
            again = self.open_retrieval(current.snapshot.number, [current.bundle])
            if self.current is current:
                self.current = again
        except Exception as error:
            self._failed(current.snapshot.number, error)
        return False

    def _failed(self, number: int | None, error: Exception, newest: int | None = None) -> None:
        """Report a failure, and keep it as the replica's own where it is that of the newest snapshot."""
        before = self.failure
        attempts = before.attempts + 1 if before and before.snapshot == number else 1
        if number == newest:
            self._retry_at = self.clock() + pause(self.poll_seconds, attempts)
            what = "the store cannot be listed" if number is None else f"snapshot {number} {why(error)}"
            self.failure = Failure(number, f"{what} ({type(error).__name__})", attempts)
        self.report("snapshot_failed", {"snapshot": number, "error": type(error).__name__, "attempts": attempts})

    def _poll_again(self) -> None:
        while not self._stop.wait(self.poll_seconds):
            self.poll()

    def _sweep_again(self) -> None:
        while not self._stop.wait(self.poll_seconds if self.damaged else self.sweep_seconds):
            self.sweep()


def pause(poll_seconds: float, attempts: int) -> float:
    """Seconds until a snapshot that could not be opened is tried again."""
    return min(LONGEST_PAUSE_S, poll_seconds * 2.0 ** min(attempts, 20))


def why(error: Exception) -> str:
    """What is wrong with a snapshot. The error's message may hold addresses; operators see it with `mcmfh search`."""
    if isinstance(error, InputError) and not isinstance(error, Damaged):
        return "was refused"
    if isinstance(error, FileNotFoundError):
        return "lacks a file"
    return "is damaged" if isinstance(error, ValueError | KeyError | TypeError) else "failed"
