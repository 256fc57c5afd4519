"""Batches for one worker, from this process's memory or from a stream.

A feed is a function of the epoch; it yields this worker's batches in an order that depends on seed and epoch alone.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from mcmfh.pretraining.pairs import Pairs
from mcmfh.pretraining.settings import PretrainSettings

Feed = Callable[[int], Iterator[Pairs]]


def from_memory(pairs: Pairs, settings: PretrainSettings) -> Feed:
    """A feed with a fresh order every epoch. An incomplete last batch is left out unless it is the only one."""
    size = min(len(pairs), settings.batch_size)

    def feed(epoch: int) -> Iterator[Pairs]:
        order = np.random.default_rng((settings.seed, epoch)).permutation(len(pairs))
        for start in range(0, len(pairs) - size + 1, size):
            yield pairs[np.sort(order[start : start + size])]

    return feed


def from_stream(shard: Any, settings: PretrainSettings, workers: int) -> Feed:
    """A feed of this worker's share of a Ray Data stream (a DataIterator), shuffled within a window of eight batches.

    All workers' shares are equally long. An incomplete last batch is left out unless it is the only one.
    """
    size = settings.batch_size // workers

    def feed(epoch: int) -> Iterator[Pairs]:
        stream = shard.iter_batches(
            batch_size=size, local_shuffle_buffer_size=8 * size, local_shuffle_seed=settings.seed * 100_003 + epoch
        )
        for i, batch in enumerate(stream):
            if i == 0 or len(batch["pixels"]) == size:
                yield Pairs(**batch)

    return feed
