"""All that one replica holds: the snapshot that answers, its watcher, the encoder's batches, metrics and log. No Ray.

What takes microseconds runs on the event loop, other searches beside it on a few threads. A request takes the current
Retrieval once and keeps it to the end.
"""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from mcmfh.config import Config
from mcmfh.search.query import Query
from mcmfh.search.retrieval import Opened, QueryLogits, Retrieval, opened_here
from mcmfh.serving.access_log import Journal
from mcmfh.serving.canary import check_against
from mcmfh.serving.encoding import Encoding, HereEncoding
from mcmfh.serving.metrics import Metrics
from mcmfh.serving.watcher import Watcher
from mcmfh.store.layout import archive_root

T = TypeVar("T")


class Replica:
    """Opens the newest snapshot and loads its model: once made, it is ready. Raises InputError."""

    def __init__(
        self,
        config: Config,
        journal: Journal | None = None,
        device: str = "cpu",
        opened: Opened = opened_here,
        encoding: Encoding | None = None,
    ):
        """`opened` and `encoding` tell where snapshots and encoders are: by default here, the encoder on `device`."""
        root = archive_root(config.store, config.archive.name)
        limits = config.archive.limits
        self.config = config
        self.journal = journal or Journal()
        self.metrics = Metrics()
        self.encoding = encoding or HereEncoding(limits, config.serve.max_batch, self.metrics.encoded)
        self.watcher = Watcher(
            root,
            lambda number, bundle: Retrieval(root, limits, number, device, bundle, opened),
            config.serve.poll_seconds,
            self._snapshot_event,
            load=self.encoding.load,
        )
        check_against(self.current, self.current)  # compiles and pages in what the first query needs
        self.metrics.serving(self.current.snapshot.number, self.current.snapshot.document.items)
        # Threads that wait for other processes cost nothing, and must not keep each other waiting.
        threads = min(4, os.cpu_count() or 1) if opened is opened_here else config.serve.max_waiting
        self.threads = ThreadPoolExecutor(threads, thread_name_prefix="search")
        self.draining = False

    @property
    def current(self) -> Retrieval:
        """What answers now. Take it once a request."""
        return self.watcher.current

    def start(self) -> None:
        """Begin to look for new snapshots."""
        self.watcher.start()
        self.journal.write("ready", {"snapshot": self.current.snapshot.number})

    def stop(self) -> None:
        """No longer ready; what is under way is finished."""
        self.draining = True
        self.watcher.stop()
        self.encoding.close()
        self.threads.shutdown(wait=False)
        self.journal.write("stopped", {})

    async def beside(self, call: Callable[..., T], *arguments: Any) -> T:
        """Run a blocking call off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, call, *arguments)

    async def logits(self, retrieval: Retrieval, query: Query) -> QueryLogits:
        """As `Retrieval.logits`, in one pass with others that wait."""
        modalities = query.modalities()
        if query.code:
            return {}
        retrieval.bits(query)
        contents = {"image": query.image, "report": query.report}
        bundle, uri = retrieval.bundle, retrieval.snapshot.document.bundle
        found = await asyncio.gather(
            *(self.encoding.logits(bundle, uri, modality, contents[modality] or "") for modality in modalities)
        )
        return dict(zip(modalities, found))

    async def search(self, query: Query) -> dict[str, Any]:
        """The answer to /v1/search."""
        retrieval = self.current
        logits = await self.logits(retrieval, query)
        if retrieval.is_quick(query):
            return retrieval.search(query, logits)
        return await self.beside(retrieval.search, query, logits)

    async def hash(self, query: Query) -> dict[str, Any]:
        """The answer to /v1/hash."""
        retrieval = self.current
        codes = retrieval.codes(query, await self.logits(retrieval, query))
        return {
            "snapshot": retrieval.snapshot.number,
            "bits": retrieval.bits(query),
            "code": {modality: code.tobytes().hex() for modality, code in codes.items()},
        }

    def readiness(self) -> dict[str, Any]:
        """What answers, and what keeps a newer snapshot from doing so."""
        failure = self.watcher.failure
        return {
            "status": "draining" if self.draining else "ready",
            "snapshot": self.current.snapshot.number,
            "failing": None if failure is None else {"snapshot": failure.snapshot, "reason": failure.reason},
        }

    def check_health(self) -> None:
        """Raises RuntimeError where this replica should be replaced."""
        if self.watcher.died():
            raise RuntimeError("the snapshot watcher died")

    def _snapshot_event(self, event: str, fields: dict[str, Any]) -> None:
        self.journal.write(event, fields)
        if event == "snapshot":
            self.metrics.swaps.inc()
            self.metrics.serving(fields["snapshot"], fields["items"])
        else:
            self.metrics.failures.inc()
