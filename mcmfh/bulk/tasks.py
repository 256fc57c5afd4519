"""One function over many small descriptions of work, as Ray tasks: a few in flight, answers in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import ray

from mcmfh.errors import InputError

T = TypeVar("T")


def each(function: Callable[..., T], calls: Iterable[tuple[Any, ...]]) -> Iterator[T]:
    """`function(*call)` of each, in order. Even a lone call goes to a worker: the driver stays small.

    What died with its worker or node, or of a store that did not answer, is called again: `function` must bear that.
    An InputError comes back as one.
    """
    task = ray.remote(num_cpus=1, max_retries=8, retry_exceptions=[OSError])(function)  # type: ignore[call-overload]
    width = 1 + int(ray.cluster_resources().get("CPU", 1))
    flying: deque[Any] = deque()
    for call in calls:
        flying.append(task.remote(*call))
        if len(flying) >= width:
            yield _answer(flying.popleft())
    while flying:
        yield _answer(flying.popleft())


def _answer(reference: Any) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise (error.cause if isinstance(error.cause, InputError) else error) from None
