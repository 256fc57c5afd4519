"""Queries that wait for the encoder share its next pass: throughput of a batch, latency of a single query.

There is no timer. While one pass runs, queries gather; when it ends, all that gathered (of one model and modality, at
most `most`) make the next. A query that comes alone is encoded at once.
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

Logits = dict[int, np.ndarray]  # K → float32[K], of which the signs are the code


@dataclass(frozen=True, eq=False)
class Waiting:
    bundle: Bundle
    modality: str
    content: Any  # a report's text, or pixels uint8[S, S, 3]
    answer: asyncio.Future[Logits]


class Batcher:
    """`worker` runs one pass at a time; `observe(modality, queries, seconds)` is told of each."""

    def __init__(
        self,
        worker: Executor,
        most: int,
        observe: Callable[[str, int, float], None] = lambda modality, queries, seconds: None,
    ):
        self.worker, self.most, self.observe = worker, most, observe
        self.waiting: deque[Waiting] = deque()
        self.runner: asyncio.Task[None] | None = None

    async def logits(self, bundle: Bundle, modality: str, content: Any) -> Logits:
        """Of one report's text or of one preprocessed picture, for every K that the bundle has."""
        answer: asyncio.Future[Logits] = asyncio.get_running_loop().create_future()
        self.waiting.append(Waiting(bundle, modality, content, answer))
        if self.runner is None or self.runner.done():
            self.runner = asyncio.create_task(self._run())
        return await answer

    async def _run(self) -> None:
        while batch := self._next():
            contents = [one.content for one in batch]
            call = asyncio.get_running_loop().run_in_executor(
                self.worker, self._timed, batch[0].bundle, batch[0].modality, contents
            )
            for one, logits in zip(batch, await call):
                if one.answer.done():  # its client has gone
                    continue
                if isinstance(logits, Exception):
                    one.answer.set_exception(logits)
                else:
                    one.answer.set_result(logits)

    def _next(self) -> list[Waiting]:
        """The oldest query that is still wanted, and those that can go with it."""
        batch: list[Waiting] = []
        left: deque[Waiting] = deque()
        for one in self.waiting:
            if one.answer.done():
                continue
            fits = not batch or (one.bundle is batch[0].bundle and one.modality == batch[0].modality)
            (batch if fits and len(batch) < self.most else left).append(one)
        self.waiting = left
        return batch

    def _timed(self, bundle: Bundle, modality: str, contents: list[Any]) -> list[Logits | Exception]:
        started = time.perf_counter()
        answers = encoded_apart(bundle, modality, contents)
        self.observe(modality, len(contents), time.perf_counter() - started)
        return answers


def encoded_apart(bundle: Bundle, modality: str, contents: Sequence[Any]) -> list[Logits | Exception]:
    """`encoded`, but a query that cannot be encoded fails alone and not its neighbours."""
    try:
        return list(encoded(bundle, modality, contents))
    except Exception as error:
        if len(contents) == 1:
            return [error]
        return [answer for content in contents for answer in encoded_apart(bundle, modality, [content])]


def encoded(bundle: Bundle, modality: str, contents: Sequence[Any]) -> list[Logits]:
    """The logits of all contents by one pass."""
    encoder = bundle.checked_encoder()
    if modality == "image":
        found = bundle.all_logits(image=encoder.encode_images(np.stack(contents)))
    else:
        found = bundle.all_logits(report=encoder.encode_reports(list(contents)))
    return [{k: logits[row] for k, logits in found[modality].items()} for row in range(len(contents))]
