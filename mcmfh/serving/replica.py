"""The parts of one replica: the current snapshot, its watcher, the encoder, metrics and access log. No Ray.

Searches that take microseconds run on the event loop, all others on a few threads. A request reads `current` once and
uses that Retrieval to its end.
"""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from mcmfh.config import Config
from mcmfh.errors import InputError
from mcmfh.search.query import Query
from mcmfh.search.retrieval import OpenSource, QueryLogits, Retrieval, open_local
from mcmfh.search.view import EVERYTHING, View
from mcmfh.serving.access_log import AccessLog
from mcmfh.serving.canary import check_against
from mcmfh.serving.encoding import Encoding, LocalEncoding
from mcmfh.serving.metrics import Metrics
from mcmfh.serving.watcher import Watcher
from mcmfh.store.layout import archive_root

T = TypeVar("T")


class Unavailable(Exception):
    """This replica cannot answer now; the message, for the client, says why."""


class BadScope(Exception):
    """A caller's scope names what the archive does not have; nothing is shown."""


class Replica:
    """Opens the newest snapshot and loads its model; a constructed Replica is ready to answer. Raises InputError."""

    def __init__(
        self,
        config: Config,
        access_log: AccessLog | None = None,
        device: str = "cpu",
        open_source: OpenSource = open_local,
        encoding: Encoding | None = None,
    ):
        """`open_source` opens snapshots and `encoding` encodes queries; by default both in this process on `device`."""
        root = archive_root(config.store, config.archive.name)
        limits = config.archive.limits
        self.config = config
        self.access_log = access_log or AccessLog()
        self.metrics = Metrics()
        self.encoding = encoding or LocalEncoding(limits, config.serve.max_batch, self.metrics.count_pass)
        self.watcher = Watcher(
            root,
            lambda number, bundle: Retrieval(root, limits, number, device, bundle, open_source),
            config.serve.poll_seconds,
            self._record_event,
            load=self.encoding.load,
            sweep_seconds=config.serve.sweep_seconds,
        )
        check_against(self.current, self.current)  # compiles code and reads pages that the first query needs
        self.metrics.set_snapshot(self.current.snapshot.number, self.current.snapshot.document.items)
        # Where other processes search, a thread only waits: one for each request costs little.
        threads = min(4, os.cpu_count() or 1) if open_source is open_local else config.serve.max_waiting
        self.threads = ThreadPoolExecutor(threads, thread_name_prefix="search")
        self.draining = False

    @property
    def current(self) -> Retrieval:
        """The Retrieval that answers now. Read it once a request. Raises Unavailable where its files were changed."""
        if self.watcher.damaged:
            raise Unavailable("this replica's files were damaged and are fetched again; try again")
        return self.watcher.current

    def start(self) -> None:
        """Start looking for new snapshots."""
        self.watcher.start()
        self.access_log.write("ready", {"snapshot": self.current.snapshot.number})

    def stop(self) -> None:
        """Stop being ready. Requests in flight are finished."""
        self.draining = True
        self.watcher.stop()
        self.encoding.close()
        self.threads.shutdown(wait=False)
        self.access_log.write("stopped", {})

    async def in_thread(self, call: Callable[..., T], *arguments: Any) -> T:
        """The result of a blocking call, made on a thread."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, call, *arguments)

    async def _query_logits(self, retrieval: Retrieval, query: Query) -> QueryLogits:
        """As `Retrieval.query_logits`, in a pass shared with other waiting queries."""
        if query.code:
            return {}
        retrieval.query_bits(query)  # refuses an unknown code length before the encoder runs
        contents, bundle, uri = query.contents, retrieval.bundle, retrieval.bundle_uri
        logits = await asyncio.gather(
            *(self.encoding.encode(bundle, uri, modality, content) for modality, content in contents.values())
        )
        return dict(zip(contents, logits))

    async def for_view(self, view: View) -> Retrieval:
        """What answers now, if the archive has the columns of the view's scope. Raises BadScope."""
        retrieval = self.current
        if view.scope:
            try:
                await self.in_thread(retrieval.count, view)
            except InputError as error:
                raise BadScope(f"the scope of this key does not fit the archive: {error}") from error
        return retrieval

    async def search_answer(self, query: Query, view: View = EVERYTHING) -> dict[str, Any]:
        """The answer to /v1/search, from the items in `view`."""
        retrieval = await self.for_view(view)
        logits = await self._query_logits(retrieval, query)
        if retrieval.is_quick(query, view):
            return retrieval.answer(query, logits, view)
        return await self.in_thread(retrieval.answer, query, logits, view)

    async def hash_answer(self, query: Query) -> dict[str, Any]:
        """The answer to /v1/hash."""
        retrieval = self.current
        codes = retrieval.query_codes(query, await self._query_logits(retrieval, query))
        return {
            "snapshot": retrieval.snapshot.number,
            "bits": retrieval.query_bits(query),
            "code": {modality: code.tobytes().hex() for modality, code in codes.items()},
        }

    def readiness(self) -> dict[str, Any]:
        """The answer to /readyz: the current snapshot, and why a newer one could not replace it."""
        failure = self.watcher.failure
        return {
            "status": "draining" if self.draining else "damaged" if self.watcher.damaged else "ready",
            "snapshot": self.watcher.current.snapshot.number,
            "failing": None if failure is None else {"snapshot": failure.snapshot, "reason": failure.reason},
        }

    def state(self) -> str:
        """What is served, in words: the snapshot, and why not a newer one."""
        snapshot, failure = self.watcher.current.snapshot, self.watcher.failure
        served = f"snapshot {snapshot.number} ({snapshot.document.items} items)"
        return served if failure is None else f"{served}, for {failure.reason},"

    def metrics_text(self) -> bytes:
        """The metrics in Prometheus' text format."""
        failure = self.watcher.failure
        self.metrics.set_failing((failure.snapshot or 0, failure.reason) if failure else None)
        return self.metrics.text()

    @property
    def ready(self) -> bool:
        """Whether requests should be sent here."""
        return not self.draining and not self.watcher.damaged

    def check_health(self) -> None:
        """Raise RuntimeError where this replica should be replaced."""
        if self.watcher.died():
            raise RuntimeError("the snapshot watcher died")

    def report(self, event: str, fields: dict[str, Any]) -> None:
        """Log an event of keys, quotas, audit or issuer, and count it where it is a fault."""
        self.access_log.write(event, fields)
        self.metrics.count_fault(event)

    def _record_event(self, event: str, fields: dict[str, Any]) -> None:
        self.access_log.write(event, fields)
        if event == "snapshot":
            self.metrics.swaps.inc()
            self.metrics.set_snapshot(fields["snapshot"], fields["items"])
        elif event == "cache_damaged":
            self.metrics.damage.inc()
        else:
            self.metrics.failures.inc()
