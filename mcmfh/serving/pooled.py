"""How the ingress of the sharded layout asks the other deployments: parts of the index, and the pool of encoders."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from mcmfh.hashing.bundle import Bundle
from mcmfh.search.batching import Logits
from mcmfh.search.sharding import Call

CALL_S = 60

T = TypeVar("T")


class DeploymentCalls:
    """Calls to other deployments from any thread. They run on the event loop that created their handles.

    parts, pool: handles. call: calls a handle's method and retries what is lost with a replica; safe, because all
    methods are read-only.
    """

    def __init__(self, parts: Sequence[Any], pool: Any, call: Callable[..., Coroutine[Any, Any, Any]]):
        self.parts, self.pool, self.call, self.loop = parts, pool, call, asyncio.get_running_loop()

    def ask_parts(self, number: int, calls: Sequence[Call]) -> list[Any]:
        """The results of Source methods of snapshot `number`, called at once. Must not run on the event loop."""

        async def call_all() -> list[Any]:
            return await asyncio.gather(
                *(self.call(self.parts[part].call, number, method, args) for part, method, args in calls)
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
