"""The sharded layout: parts of the index and a pool of encoders, and how the ingress asks them. No Ray."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from mcmfh import ray_session
from mcmfh.config import Config
from mcmfh.hashing import load_bundle
from mcmfh.hashing.bundle import Bundle
from mcmfh.search.batching import Logits
from mcmfh.search.sharding import Call, SnapshotPart
from mcmfh.serving.encoding import LocalEncoding

CALL_S = 60
logger = logging.getLogger(__name__)

T = TypeVar("T")


class DeploymentCalls:
    """Calls to other deployments from any thread. They run on the event loop that created their handles.

    parts, pool: handles. call: calls a handle's method and retries what is lost with a replica; safe, because all
    methods are read-only.
    """

    def __init__(self, parts: Sequence[Any], pool: Any, call: Callable[..., Coroutine[Any, Any, Any]]):
        self.parts, self.pool, self.call, self.loop = parts, pool, call, asyncio.get_running_loop()

    def ask_parts(self, root: str, number: int, calls: Sequence[Call]) -> list[Any]:
        """The results of Source methods of snapshot `number` of the archive at `root`, called at once.

        Must not run on the event loop.
        """

        async def call_all() -> list[Any]:
            return await asyncio.gather(
                *(self.call(self.parts[part].call, root, number, method, args) for part, method, args in calls)
            )

        return self.schedule(call_all()).result(CALL_S)

    def schedule(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)


class PooledEncoding:
    """The pool of encoders, as an Encoding."""

    def __init__(self, calls: DeploymentCalls):
        self.calls = calls

    def load(self, bundle: Bundle, uri: str) -> None:
        self.calls.schedule(self.calls.call(self.calls.pool.load, uri)).result(10 * CALL_S)

    async def encode(self, bundle: Bundle, uri: str, modality: str, content: str | bytes) -> Logits:
        call = self.calls.schedule(self.calls.call(self.calls.pool.encode, uri, modality, content))
        logits: Logits = await asyncio.wrap_future(call)
        return logits

    def close(self) -> None:
        return


class IndexPart:
    """One part of the snapshots of each archive."""

    def __init__(self, roots: Sequence[str], part: int, parts: int, sweep_seconds: float):
        ray_session.keep_on_loopback()
        self.parts = {root: SnapshotPart(root, part, parts) for root in roots}
        self.sweep_seconds = sweep_seconds
        threading.Thread(target=self._sweep_again, name="cache-sweeper", daemon=True).start()

    def _sweep_again(self) -> None:
        while True:
            time.sleep(self.sweep_seconds)
            if names := [name for part in self.parts.values() for name in part.sweep()]:
                logger.warning("%d changed files in the cache are fetched again", len(names))

    async def call(self, root: str, number: int, method: str, arguments: tuple[Any, ...]) -> Any:
        return await asyncio.to_thread(self.parts[root].call, number, method, arguments)


class Encoders:
    """An encoder and the hash heads, of the bundles loaded last: one more than there are archives."""

    def __init__(self, config: dict[str, Any], device: str):
        ray_session.keep_on_loopback()
        parsed = Config.model_validate(config)
        self.device, self.most = device, len(parsed.served_archives)
        self.encoding = LocalEncoding(parsed.archive.limits, parsed.serve.max_batch)
        self.bundles: dict[str, Bundle] = {}
        self.lock = asyncio.Lock()

    async def load(self, uri: str) -> None:
        await self._bundle(uri)

    async def encode(self, uri: str, modality: str, content: str | bytes) -> Logits:
        return await self.encoding.encode(await self._bundle(uri), uri, modality, content)

    async def _bundle(self, uri: str) -> Bundle:
        async with self.lock:
            if uri not in self.bundles:
                bundle = await asyncio.to_thread(load_bundle, uri, self.device)
                bundle.share_encoder(self.bundles.values())
                await asyncio.to_thread(bundle.checked_encoder)
                self.bundles = {**dict([*self.bundles.items()][-self.most :]), uri: bundle}
            return self.bundles[uri]
