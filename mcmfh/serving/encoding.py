"""A query's report or image → its logits: images are decoded on a few threads, passes of the encoder run on one.

torch uses all cores for one pass and gains nothing from two at a time, so waiting queries share the next pass; see
`batching`.
"""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np

from mcmfh.archive.images import Limits, decode_image
from mcmfh.hashing.bundle import Bundle
from mcmfh.search.batching import Batcher, Logits


class Encoding(Protocol):
    """Encodes queries. `uri` is the bundle's URI, for encoders in another process."""

    def load(self, bundle: Bundle, uri: str) -> None:
        """Load the encoder of `bundle`. Raises InputError where that fails."""

    async def encode(self, bundle: Bundle, uri: str, modality: str, content: str | bytes) -> Logits:
        """K → float32[K] of a report's text or an image's file. Raises DecodeError."""
        ...

    def close(self) -> None: ...


class LocalEncoding:
    """The encoder in this process. `observe(modality, queries, seconds)` is called after each pass."""

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

    async def encode(self, bundle: Bundle, uri: str, modality: str, content: str | bytes) -> Logits:
        if isinstance(content, bytes):
            pixels = await asyncio.get_running_loop().run_in_executor(self.threads, self._pixels, bundle, content)
            return await self.batcher.submit(bundle, modality, pixels)
        return await self.batcher.submit(bundle, modality, content)

    def close(self) -> None:
        self.worker.shutdown(wait=False)
        self.threads.shutdown(wait=False)

    def _pixels(self, bundle: Bundle, image: bytes) -> np.ndarray:
        return bundle.checked_encoder().spec.preprocessing(decode_image(image, self.limits))
