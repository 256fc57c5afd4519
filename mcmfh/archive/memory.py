"""One memory budget for all decoding in a process: pictures that would not fit together wait for each other."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class MemoryBudget:
    """Bytes that decoders of all threads may hold at a time. A picture larger than the budget is decoded alone."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._free = capacity
        self._turn = threading.Lock()  # small pictures do not slip past a large one that waits
        self._changed = threading.Condition()

    @contextmanager
    def reserve(self, estimate: int) -> Iterator[None]:
        """Holds `estimate` bytes of the budget; waits until they are free."""
        held = min(estimate, self.capacity)
        with self._turn, self._changed:
            self._changed.wait_for(lambda: self._free >= held)
            self._free -= held
        try:
            yield
        finally:
            with self._changed:
                self._free += held
                self._changed.notify_all()


# The greatest picture within the limits fits: 64 million pixels at 24 bytes, which WebP and transparency cost.
DECODING = MemoryBudget(1_536_000_000)
