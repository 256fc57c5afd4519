"""New snapshots while serving: each replica looks for one, opens it beside the old, tries it, and swaps one reference.

Whoever answers takes the reference once and keeps it for the whole request, so no answer is mixed of two snapshots; the
old one lives on until its last request is done. A snapshot that cannot be opened, or whose canary differs, changes
nothing: it is reported, tried again at growing intervals, and overtaken by the next number.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mcmfh.errors import InputError
from mcmfh.hashing.bundle import Bundle
from mcmfh.search.retrieval import Retrieval
from mcmfh.serving.canary import check_against
from mcmfh.snapshots.document import snapshot_numbers

LONGEST_PAUSE_S = 600.0


@dataclass(frozen=True)
class Failure:
    """What keeps the newest snapshot from being served, in words that may be shown to anybody."""

    snapshot: int | None  # None: the store could not be asked
    reason: str
    attempts: int


class Watcher:
    """Holds the Retrieval that answers (`current`) and replaces it.

    `opened(number, bundle)` opens a snapshot, `load(bundle, its URI)` readies the encoder of a model.
    """

    def __init__(
        self,
        root: str,
        opened: Callable[..., Retrieval],
        poll_seconds: float,
        report: Callable[[str, dict[str, Any]], None] = lambda event, fields: None,
        clock: Callable[[], float] = time.monotonic,
        load: Callable[[Bundle, str], None] = lambda bundle, uri: None,
    ):
        self.root, self.opened, self.poll_seconds, self.report, self.clock = root, opened, poll_seconds, report, clock
        self.load = load
        self.current = opened(None, None)
        load(self.current.bundle, self.current.snapshot.document.bundle)
        self.swaps = 0
        self.failure: Failure | None = None
        self._retry_at = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="snapshot-watcher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def died(self) -> bool:
        """Whether it was started and looks no longer, though nobody stopped it."""
        return self._thread.ident is not None and not self._thread.is_alive() and not self._stop.is_set()

    def stop(self) -> None:
        """Return once no poll is running or will run."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def poll(self) -> bool:
        """Look once; True where a newer snapshot now answers. Never raises."""
        number = None
        try:
            number = max(snapshot_numbers(self.root), default=0)
            if number <= self.current.snapshot.number:
                self.failure = None
                return False
            if self.failure and self.failure.snapshot == number and self.clock() < self._retry_at:
                return False
            self.swap(number)
            return True
        except Exception as error:  # whatever it is, the old snapshot goes on answering
            self._failed(number, error)
            return False

    def swap(self, number: int) -> None:
        """Serve snapshot `number` from now on. Raises whatever keeps it from being served."""
        old = self.current
        new = self.opened(number, old.bundle)
        if new.bundle is not old.bundle:
            self.load(new.bundle, new.snapshot.document.bundle)
        check_against(old, new)
        self.current = new  # one reference: requests see the old or the new, never between
        self.swaps += 1
        self.failure = None
        self.report("snapshot", {"snapshot": number, "items": new.snapshot.document.items})

    def _failed(self, number: int | None, error: Exception) -> None:
        before = self.failure
        attempts = before.attempts + 1 if before and before.snapshot == number else 1
        self._retry_at = self.clock() + min(LONGEST_PAUSE_S, self.poll_seconds * 2**attempts)
        # The error's own words may name addresses in the store; `mcmfh search --snapshot` shows them to who may know.
        kind = "refused" if isinstance(error, InputError) else "failed"
        what = "the store cannot be listed" if number is None else f"snapshot {number} was {kind}"
        self.failure = Failure(number, f"{what} ({type(error).__name__})", attempts)
        self.report("snapshot_failed", {"snapshot": number, "error": type(error).__name__, "attempts": attempts})

    def _run(self) -> None:
        while not self._stop.wait(self.poll_seconds):
            self.poll()
