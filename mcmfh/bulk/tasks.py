"""One function called with many tuples of arguments, as Ray tasks: a few at a time, results in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

import ray

from mcmfh.errors import InputError

T = TypeVar("T")


class Each(Protocol):
    """Calls `function` with every tuple of arguments and yields the results in order."""

    def __call__(self, function: Callable[..., T], calls: Iterable[tuple[Any, ...]]) -> Iterator[T]: ...


def each(function: Callable[..., T], calls: Iterable[tuple[Any, ...]]) -> Iterator[T]:
    """`function(*call)` of each call, in order. Even a single call goes to a worker, so that the driver stays small.

    Calls lost with a worker or node, or failed by a store that did not answer, are repeated; so `function` must be
    idempotent. An InputError is raised as such.
    """
    task = ray.remote(num_cpus=1, max_retries=8, retry_exceptions=[OSError])(function)  # type: ignore[call-overload]
    cores: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    width = 1 + int(cores.get("CPU", 1))
    running: deque[Any] = deque()
    for call in calls:
        running.append(task.remote(*call))
        if len(running) >= width:
            yield _result(running.popleft())
    while running:
        yield _result(running.popleft())


def _result(reference: Any) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise (error.cause if isinstance(error.cause, InputError) else error) from None
