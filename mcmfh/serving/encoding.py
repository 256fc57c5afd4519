"""A query's report or image → its logits: decoded on a few threads, encoded on one of its own in shared passes.

torch's threads gain nothing from company, so whatever waits goes into the next pass together; see `batching`.
"""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from mcmfh.archive.images import Limits, decode_image
from mcmfh.hashing.bundle import Bundle
from mcmfh.search.batching import Batcher, Logits


class Encoding(Protocol):
    """`uri` is the bundle's own address, for encoders that are in another process."""

    def load(self, bundle: Bundle, uri: str) -> None:
        """Be ready for queries of `bundle`. Raises InputError where its encoder cannot be had."""

    async def logits(self, bundle: Bundle, uri: str, modality: str, content: str | bytes) -> Logits:
        """K → float32[K] of a report's text or an image's file. Raises DecodeError."""
        ...

    def close(self) -> None: ...


class HereEncoding:
    """The encoder in this process. `observe(modality, queries, seconds)` is told of each pass."""

    def __init__(
        self,
        limits: Limits,
        most: int,
        observe: Callable[[str, int, float], None] = lambda modality, queries, seconds: None,
    ):
        self.limits = limits
        self.worker = ThreadPoolExecutor(1, thread_name_prefix="encoder")
        self.threads = ThreadPoolExecutor(min(4, os.cpu_count() or 1), thread_name_prefix="decode")
        self.batcher = Batcher(self.worker, most, observe)

    def load(self, bundle: Bundle, uri: str) -> None:
        bundle.checked_encoder()

    async def logits(self, bundle: Bundle, uri: str, modality: str, content: str | bytes) -> Logits:
        if isinstance(content, bytes):
            pixels = await asyncio.get_running_loop().run_in_executor(self.threads, self._pixels, bundle, content)
            return await self.batcher.logits(bundle, modality, pixels)
        return await self.batcher.logits(bundle, modality, content)

    def close(self) -> None:
        self.worker.shutdown(wait=False)
        self.threads.shutdown(wait=False)

    def _pixels(self, bundle: Bundle, image: bytes):
        return bundle.checked_encoder().spec.preprocessing(decode_image(image, self.limits))
