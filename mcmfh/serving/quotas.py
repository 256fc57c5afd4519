"""Requests of a day (UTC): counted by each replica, and written to the store so that all replicas share one count.

    <archive>/usage/<day>/<replica>.json    name of a key → requests that this replica has counted

A replica reads the counts of the others when it starts. Once it has counted a request itself, it writes its counts and
reads theirs every `serve.poll_seconds`. In between, replicas may let through more than the quota: what arrives then.
Without an answer of the store a replica goes on with the counts that it has.
"""

import secrets
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from mcmfh.store import documents, files
from mcmfh.store.layout import USAGE

KEPT_DAYS = 7


class Quotas:
    """The counts of one replica of the archive at `root`; without one the counts are not shared."""

    def __init__(
        self,
        root: str | None = None,
        poll_seconds: float = 10,
        report: Callable[[str, dict[str, Any]], None] = lambda event, fields: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ):
        self.root, self.poll_seconds, self.report, self.now = root, poll_seconds, report, now
        self.replica = secrets.token_hex(8)
        self.day = ""
        self.own: Counter[str] = Counter()
        self.others: Counter[str] = Counter()
        self._written: Counter[str] = Counter()
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="quotas", daemon=True)

    def start(self) -> None:
        if self.root is not None:
            self._thread.start()

    def stop(self) -> None:
        """Write the last counts."""
        self._stop.set()
        self._share()

    def take(self, name: str, per_day: int) -> bool:
        """Count a request of `name`; False where it has sent `per_day` of them today."""
        with self._lock:
            self._turn_over()
            if self.own[name] + self.others[name] >= per_day:
                return False
            self.own[name] += 1
            return True

    def share(self) -> None:
        """Write this replica's counts of the day, and read those of the others."""
        assert self.root is not None, "the counts are shared through a store"
        with self._lock:
            self._turn_over()
            day, own = self.day, Counter(self.own)
        folder = files.join(self.root, USAGE)
        if own != self._written:
            files.replace(files.join(folder, day, f"{self.replica}.json"), documents.sealed(own))
            self._written = own
        others: Counter[str] = Counter()
        days = files.names(folder)
        for name in files.names(files.join(folder, day)) if day in days else ():
            if name != f"{self.replica}.json":
                others.update(self._counts(files.join(folder, day, name)))
        with self._lock:
            if day == self.day:
                self.others = others
        oldest = (self.now() - timedelta(days=KEPT_DAYS)).date().isoformat()
        for past in days:
            if past < oldest:
                files.delete_tree(files.join(folder, past))

    def _counts(self, uri: str) -> dict[str, int]:
        """The counts in the file of another replica; {} where it is damaged, for the others' still count."""
        try:
            counts = documents.read(uri)
            return {str(name): int(count) for name, count in counts.items()}
        except (ValueError, TypeError, AttributeError, FileNotFoundError, IsADirectoryError) as error:
            self.report("quotas_failed", {"reason": type(error).__name__})
            return {}

    def _turn_over(self) -> None:
        if (day := self.now().date().isoformat()) != self.day:
            self.day, self.own, self.others = day, Counter(), Counter()

    def _share(self) -> None:
        try:
            if self.root is not None:
                self.share()
        except Exception as error:  # a store's client raises what it likes
            self.report("quotas_failed", {"reason": type(error).__name__})

    def _run(self) -> None:
        self._share()
        while not self._stop.wait(self.poll_seconds):
            if self.own:  # most endpoints have no key with a quota
                self._share()


def seconds_left(now: datetime) -> int:
    """Until the day (UTC) ends."""
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return max(1, int((midnight - now).total_seconds()) + 1)
