"""One archive of an endpoint: its watcher, once a snapshot could be opened, and until then why there is none.

An endpoint with several archives answers from those that it could open and retries the others.
"""

import threading
from collections.abc import Callable
from typing import Any

from mcmfh.config import Config
from mcmfh.search.opening import newest_readable
from mcmfh.search.retrieval import Retrieval
from mcmfh.serving.canary import check_against
from mcmfh.serving.watcher import Failure, Watcher, pause, why
from mcmfh.snapshots.document import SnapshotDocument
from mcmfh.store.layout import archive_root


class Unavailable(Exception):
    """This replica cannot answer now; the message, for the client, says why."""


class ServedArchive:
    """Opens the archive on construction; where that fails, `start` retries it at growing intervals.

    open_watcher: opens its newest sound snapshot. report(event, fields): called after each opening and each failure.
    """

    def __init__(
        self,
        name: str,
        open_watcher: Callable[[], Watcher],
        poll_seconds: float,
        report: Callable[[str, dict[str, Any]], None],
    ):
        self.name, self.open_watcher, self.poll_seconds, self.report = name, open_watcher, poll_seconds, report
        self.watcher: Watcher | None = None
        self.error: Exception | None = None
        self._attempts = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._open_again, name="archive-opener", daemon=True)
        self.open()

    def open(self) -> bool:
        """Whether the archive is open after this try. Never raises."""
        try:
            watcher = self.open_watcher()
            check_against(watcher.current, watcher.current)  # compiles code, reads pages that the first query needs
        except Exception as error:  # the files of an archive may be missing or damaged in any way
            self.error, self._attempts = error, self._attempts + 1
            self.report(
                "snapshot_failed", {"snapshot": None, "error": type(error).__name__, "attempts": self._attempts}
            )
            return False
        self.watcher, self.error = watcher, None
        document = watcher.current.snapshot.document
        self.report("opened", {"snapshot": watcher.current.snapshot.number, "items": document.items})
        return True

    @property
    def current(self) -> Retrieval:
        """The Retrieval that answers now. Read it once a request. Raises Unavailable where there is none."""
        if self.watcher is None:
            raise Unavailable("this archive cannot be opened at the moment; try again later")
        if self.watcher.damaged:
            raise Unavailable("this replica's files were damaged and are fetched again; try again")
        return self.watcher.current

    @property
    def ready(self) -> bool:
        """Whether the archive can be asked."""
        return self.watcher is not None and not self.watcher.damaged

    @property
    def failure(self) -> Failure | None:
        """Why the newest snapshot, or any, is not served."""
        if self.watcher is not None:
            return self.watcher.failure
        assert self.error is not None, "an archive is open or failed to open"
        return Failure(None, f"the archive {why(self.error)} ({type(self.error).__name__})", self._attempts)

    def readiness(self) -> dict[str, Any]:
        """Its part of /readyz."""
        failure = self.failure
        return {
            "status": "closed" if self.watcher is None else "damaged" if self.watcher.damaged else "ready",
            "snapshot": None if self.watcher is None else self.watcher.current.snapshot.number,
            "failing": None if failure is None else {"snapshot": failure.snapshot, "reason": failure.reason},
        }

    def state(self) -> str:
        """What is served, in words: the snapshot, and why not a newer one."""
        failure = self.failure
        if self.watcher is None:
            return f"nothing, for {failure.reason}," if failure else "nothing"
        snapshot = self.watcher.current.snapshot
        served = f"snapshot {snapshot.number} ({snapshot.document.items} items)"
        return served if failure is None else f"{served}, for {failure.reason},"

    def start(self) -> None:
        """Start looking for new snapshots, or for a first one."""
        if self.watcher is not None:
            self.watcher.start()
        else:
            self._thread.start()

    def stop(self) -> None:
        """Stop looking for snapshots."""
        self._stop.set()
        if self.watcher is not None:
            self.watcher.stop()

    def died(self) -> bool:
        """Whether a thread ended without `stop`."""
        return self.watcher is not None and self.watcher.died()

    def _open_again(self) -> None:
        while not self._stop.wait(pause(self.poll_seconds, self._attempts)):
            if self.open():
                assert self.watcher is not None
                self.watcher.start()
                return


def first_readable(config: Config) -> tuple[str, SnapshotDocument]:
    """(root, newest readable document) of the first archive that has one; where none has, raises as the first."""
    fault: Exception | None = None
    for name in config.served_archives:
        root = archive_root(config.store, name)
        try:
            return root, newest_readable(root)[1]
        except Exception as error:  # of one archive; another may be whole
            fault = fault or error
    assert fault is not None, "an endpoint serves one archive or more"
    raise fault
