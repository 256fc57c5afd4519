"""The parts of one replica: its archives, the encoder, metrics and access log. No Ray.

Searches that take microseconds run on the event loop, all others on a few threads. A request reads the `current` of its
archive once and uses that Retrieval to its end.
"""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from mcmfh.config import Config
from mcmfh.errors import InputError
from mcmfh.hashing.bundle import Bundle
from mcmfh.search.query import Query
from mcmfh.search.retrieval import OpenSource, QueryLogits, Retrieval, open_local
from mcmfh.search.view import EVERYTHING, View
from mcmfh.serving.access_log import AccessLog
from mcmfh.serving.encoding import Encoding, LocalEncoding
from mcmfh.serving.metrics import Metrics
from mcmfh.serving.served import ServedArchive
from mcmfh.serving.watcher import Watcher
from mcmfh.store.layout import archive_root

T = TypeVar("T")


class BadScope(Exception):
    """A caller's scope names what the archive does not have; nothing is shown."""


class Replica:
    """Opens the newest snapshot of each archive and loads its model; a constructed Replica is ready to answer.

    Raises what opening the first raises where none of the archives can be opened.
    """

    def __init__(
        self,
        config: Config,
        access_log: AccessLog | None = None,
        device: str = "cpu",
        open_source: OpenSource = open_local,
        encoding: Encoding | None = None,
    ):
        """`open_source` opens snapshots and `encoding` encodes queries; by default both in this process on `device`."""
        limits = config.archive.limits
        self.config, self.device, self.open_source = config, device, open_source
        self.access_log = access_log or AccessLog()
        self.metrics = Metrics(archives=config.served_archives)
        self.encoding = encoding or LocalEncoding(limits, config.serve.max_batch, self.metrics.count_pass)
        self.archives: dict[str, ServedArchive] = {}
        for name in config.served_archives:
            report = partial(self._record_event, name)
            opener = partial(self._open, name, report)
            self.archives[name] = ServedArchive(name, opener, config.serve.poll_seconds, report)
        if not any(archive.watcher for archive in self.archives.values()):
            raise next(archive.error for archive in self.archives.values() if archive.error)
        # Where other processes search, a thread only waits: one for each request costs little.
        threads = min(4, os.cpu_count() or 1) if open_source is open_local else config.serve.max_waiting
        self.threads = ThreadPoolExecutor(threads, thread_name_prefix="search")
        self.draining = False

    def _open(self, name: str, report: Callable[[str, dict[str, Any]], None]) -> Watcher:
        """The watcher of an archive, its newest sound snapshot opened. Raises what opening it raises."""
        root = archive_root(self.config.store, name)
        several = name if len(self.config.served_archives) > 1 else None

        def open_retrieval(number: int | None, loaded: Sequence[Bundle]) -> Retrieval:
            bundles = [*loaded, *self._bundles()]
            return Retrieval(root, self.config.archive.limits, number, self.device, bundles, self.open_source, several)

        settings = self.config.serve
        return Watcher(
            root,
            open_retrieval,
            settings.poll_seconds,
            report,
            load=self.encoding.load,
            sweep_seconds=settings.sweep_seconds,
        )

    def _bundles(self) -> list[Bundle]:
        """The models of the archives that are open: another one may have the same model, or the same encoder."""
        return [archive.watcher.current.bundle for archive in self.archives.values() if archive.watcher]

    def archive(self, name: str | None = None) -> ServedArchive:
        """The archive of that name, or the first."""
        return next(iter(self.archives.values())) if name is None else self.archives[name]

    def start(self) -> None:
        """Start looking for new snapshots."""
        for name, archive in self.archives.items():
            archive.start()
            if archive.watcher:
                self._log(name, "ready", {"snapshot": archive.watcher.current.snapshot.number})

    def stop(self) -> None:
        """Stop being ready. Requests in flight are finished."""
        self.draining = True
        for archive in self.archives.values():
            archive.stop()
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

    async def for_view(self, view: View, archive: str | None = None) -> Retrieval:
        """What answers now, if the archive has the columns of the view's scope. Raises BadScope."""
        retrieval = self.archive(archive).current
        if view.scope:
            try:
                await self.in_thread(retrieval.count, view)
            except InputError as error:
                raise BadScope(f"the scope of this key does not fit the archive: {error}") from error
        return retrieval

    async def search_answer(self, query: Query, view: View = EVERYTHING, archive: str | None = None) -> dict[str, Any]:
        """The answer to /v1/search, from the items of an archive (None: the first) in `view`."""
        retrieval = await self.for_view(view, archive)
        logits = await self._query_logits(retrieval, query)
        if retrieval.is_quick(query, view):
            return retrieval.answer(query, logits, view)
        return await self.in_thread(retrieval.answer, query, logits, view)

    async def hash_answer(self, query: Query, archive: str | None = None) -> dict[str, Any]:
        """The answer to /v1/hash, by the model of an archive (None: the first)."""
        retrieval = self.archive(archive).current
        codes = retrieval.query_codes(query, await self._query_logits(retrieval, query))
        return {
            **retrieval.named,
            "snapshot": retrieval.snapshot.number,
            "bits": retrieval.query_bits(query),
            "code": {modality: code.tobytes().hex() for modality, code in codes.items()},
        }

    def readiness(self) -> dict[str, Any]:
        """The answer to /readyz. It needs no key, so that of several archives none is named."""
        parts = [archive.readiness() for archive in self.archives.values()]
        if len(parts) == 1:
            return {**parts[0], **({"status": "draining"} if self.draining else {})}
        return {"status": "draining" if self.draining else "ready" if self.ready else "closed", "archives": parts}

    def state(self) -> str:
        """What is served, in words."""
        states = [(archive.name, archive.state()) for archive in self.archives.values()]
        return states[0][1] if len(states) == 1 else "; ".join(f"{name}: {state}" for name, state in states)

    def metrics_text(self) -> bytes:
        """The metrics in Prometheus' text format."""
        failures = {name: archive.failure for name, archive in self.archives.items()}
        self.metrics.set_failing({name: (f.snapshot or 0, f.reason) if f else None for name, f in failures.items()})
        return self.metrics.text()

    @property
    def ready(self) -> bool:
        """Whether requests should be sent here: an archive that is damaged or closed refuses its own."""
        return not self.draining and any(archive.ready for archive in self.archives.values())

    def check_health(self) -> None:
        """Raise RuntimeError where this replica should be replaced."""
        if any(archive.died() for archive in self.archives.values()):
            raise RuntimeError("the snapshot watcher died")

    def report(self, event: str, fields: dict[str, Any]) -> None:
        """Log an event of keys, quotas, audit or issuer, and count it where it is a fault."""
        self.access_log.write(event, fields)
        self.metrics.count_fault(event)

    def _log(self, archive: str, event: str, fields: Mapping[str, Any]) -> None:
        """Log an event of an archive, which is named where there are several."""
        self.access_log.write(
            event, {**({"archive": archive} if len(self.config.served_archives) > 1 else {}), **fields}
        )

    def _record_event(self, archive: str, event: str, fields: dict[str, Any]) -> None:
        if event != "opened":  # `start` tells of all that are open
            self._log(archive, event, fields)
        if event in ("snapshot", "opened"):
            self.metrics.set_snapshot(archive, fields["snapshot"], fields["items"])
        if event == "snapshot":
            self.metrics.swaps.labels(archive).inc()
        elif event == "cache_damaged":
            self.metrics.damage.labels(archive).inc()
        elif event == "snapshot_failed":
            self.metrics.failures.labels(archive).inc()
