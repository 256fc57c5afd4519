"""One function called with many tuples of arguments, as Ray tasks: a few at a time, results in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

import ray

from mcmfh.config import ClusterConfig
from mcmfh.errors import InputError

T = TypeVar("T")
# Calls that are submitted for each CPU of a cluster without a limit, so that an autoscaler sees what is to do.
AHEAD = 4


class Each(Protocol):
    """Calls `function` with every tuple of arguments and yields the results in order."""

    def __call__(self, function: Callable[..., T], calls: Iterable[tuple[Any, ...]]) -> Iterator[T]: ...


def each(
    function: Callable[..., T], calls: Iterable[tuple[Any, ...]], cluster: ClusterConfig | None = None
) -> Iterator[T]:
    """`function(*call)` of each call, in order. Even a single call goes to a worker, so that the driver stays small.

    Calls lost with a worker or node, or failed by a store that did not answer, are repeated; so `function` must be
    idempotent. An InputError is raised as such.

    cluster: what a task asks for, and how many may run at a time (`max_cpus`).
    """
    cluster = cluster or ClusterConfig()
    asked: dict[str, float] = {"num_cpus": 1}
    if cluster.task_memory_mb:
        asked["memory"] = cluster.task_memory_mb * 2**20
    task = ray.remote(max_retries=8, retry_exceptions=[OSError], **asked)(function)  # type: ignore[call-overload]
    running: deque[Any] = deque()
    for call in calls:
        running.append(task.remote(*call))
        while len(running) >= (cluster.max_cpus or AHEAD * max(_cores(), 1)):
            yield _result(running.popleft())
    while running:
        yield _result(running.popleft())


def _cores() -> float:
    """CPUs of the cluster at this moment; nodes come and go."""
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return resources.get("CPU", 0)


def _result(reference: Any) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise (error.cause if isinstance(error.cause, InputError) else error) from None
