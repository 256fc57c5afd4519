"""Queries that wait for the encoder share its next pass: the throughput of batches, the latency of single queries.

There is no timer. Queries gather while a pass runs. When it ends, the next pass takes at most `most` of them, all of
one model and one modality. A query that finds the encoder idle is encoded at once.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np

from mcmfh.hashing.bundle import Bundle

Logits = dict[int, np.ndarray]  # K → float32[K]; the signs are the code


@dataclass(frozen=True, eq=False)
class WaitingQuery:
    bundle: Bundle
    modality: str
    content: Any  # a report's text, or pixels uint8[S, S, 3]
    result: asyncio.Future[Logits]


class Batcher:
    """`worker` runs one pass at a time; `observe(modality, queries, seconds)` is called after each pass."""

    def __init__(
        self,
        worker: Executor,
        most: int,
        observe: Callable[[str, int, float], None] = lambda modality, queries, seconds: None,
    ):
        self.worker, self.most, self.observe = worker, most, observe
        self.waiting: deque[WaitingQuery] = deque()
        self.runner: asyncio.Task[None] | None = None

    async def submit(self, bundle: Bundle, modality: str, content: Any) -> Logits:
        """The logits of one report's text or one preprocessed picture, for every K of the bundle."""
        result: asyncio.Future[Logits] = asyncio.get_running_loop().create_future()
        self.waiting.append(WaitingQuery(bundle, modality, content, result))
        if self.runner is None or self.runner.done():
            self.runner = asyncio.create_task(self._run())
        return await result

    async def _run(self) -> None:
        while batch := self._next_batch():
            contents = [query.content for query in batch]
            encoding = asyncio.get_running_loop().run_in_executor(
                self.worker, self._timed_pass, batch[0].bundle, batch[0].modality, contents
            )
            for query, logits in zip(batch, await encoding):
                if query.result.done():  # cancelled: its client has disconnected
                    continue
                if isinstance(logits, Exception):
                    query.result.set_exception(logits)
                else:
                    query.result.set_result(logits)

    def _next_batch(self) -> list[WaitingQuery]:
        """The oldest query that was not cancelled, and those that can share its pass."""
        batch: list[WaitingQuery] = []
        left: deque[WaitingQuery] = deque()
        for query in self.waiting:
            if query.result.done():
                continue
            fits = not batch or (query.bundle is batch[0].bundle and query.modality == batch[0].modality)
            (batch if fits and len(batch) < self.most else left).append(query)
        self.waiting = left
        return batch

    def _timed_pass(self, bundle: Bundle, modality: str, contents: list[Any]) -> list[Logits | Exception]:
        started = time.perf_counter()
        results = logits_or_errors(bundle, modality, contents)
        self.observe(modality, len(contents), time.perf_counter() - started)
        return results


def logits_or_errors(bundle: Bundle, modality: str, contents: Sequence[Any]) -> list[Logits | Exception]:
    """As `content_logits`, with the error of each content that cannot be encoded; the others are still encoded."""
    try:
        return list(content_logits(bundle, modality, contents))
    except Exception as error:
        if len(contents) == 1:
            return [error]
        return [result for content in contents for result in logits_or_errors(bundle, modality, [content])]


def content_logits(bundle: Bundle, modality: str, contents: Sequence[Any]) -> list[Logits]:
    """The logits of each content, all computed in one pass."""
    encoder = bundle.checked_encoder()
    if modality == "image":
        by_modality = bundle.all_logits(image=encoder.encode_images(np.stack(contents)))
    else:
        by_modality = bundle.all_logits(report=encoder.encode_reports(list(contents)))
    return [{k: logits[row] for k, logits in by_modality[modality].items()} for row in range(len(contents))]
