"""All that one replica holds: the snapshot that answers, its watcher, the encoder's batches, metrics and log. No Ray.

Searching and decoding run beside the event loop on a few threads, the encoder on one of its own: torch's threads gain
nothing from company. A request takes the current Retrieval once and keeps it to the end.
"""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

from mcmfh.config import Config
from mcmfh.serving.batching import Batcher
from mcmfh.serving.canary import check_against
from mcmfh.serving.journal import Journal
from mcmfh.serving.metrics import Metrics
from mcmfh.serving.queries import Query
from mcmfh.serving.retrieval import Retrieval
from mcmfh.serving.watcher import Watcher
from mcmfh.snapshots.archive import archive_root

T = TypeVar("T")


class Replica:
    """Opens the newest snapshot and loads its model: once made, it is ready. Raises InputError."""

    def __init__(self, config: Config, journal: Journal | None = None):
        root = archive_root(config.store, config.archive.name)
        limits = config.archive.limits
        self.config = config
        self.journal = journal or Journal()
        self.metrics = Metrics()
        self.watcher = Watcher(
            root,
            lambda number, bundle: Retrieval(root, limits, number, bundle=bundle),
            config.serve.poll_seconds,
            self._snapshot_event,
        )
        check_against(self.current, self.current)  # compiles and pages in what the first query needs
        self.metrics.serving(self.current.snapshot.number, self.current.snapshot.document["items"])
        self.encoder = ThreadPoolExecutor(1, thread_name_prefix="encoder")
        self.threads = ThreadPoolExecutor(min(4, os.cpu_count() or 1), thread_name_prefix="search")
        self.batcher = Batcher(self.encoder, config.serve.max_batch, self.metrics.encoded)
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
        self.encoder.shutdown(wait=False)
        self.threads.shutdown(wait=False)
        self.journal.write("stopped", {})

    async def beside(self, call: Callable[..., T], *arguments: Any) -> T:
        """Run a blocking call off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, call, *arguments)

    async def codes(self, retrieval: Retrieval, query: Query) -> dict[str, np.ndarray]:
        """As `Retrieval.codes`, in one pass with others that wait."""
        if query.code:
            return retrieval.given_code(query)
        modalities, bits = query.modalities(), retrieval.bits(query)
        contents: dict[str, Any] = {"report": query.report}
        if query.image:
            contents["image"] = await self.beside(retrieval.pixels, query.image)
        found = await asyncio.gather(
            *(self.batcher.codes(retrieval.bundle, modality, contents[modality]) for modality in modalities)
        )
        return {modality: codes[bits] for modality, codes in zip(modalities, found)}

    async def search(self, query: Query) -> dict[str, Any]:
        """The answer to /v1/search."""
        retrieval = self.current
        codes = await self.codes(retrieval, query)
        if retrieval.is_quick(query):
            return retrieval.search(query, codes)
        return await self.beside(retrieval.search, query, codes)

    async def hash(self, query: Query) -> dict[str, Any]:
        """The answer to /v1/hash."""
        retrieval = self.current
        codes = await self.codes(retrieval, query)
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
