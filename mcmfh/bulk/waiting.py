"""What a job waits for: what Ray is asked for and cannot give, beside what is there.

Ray itself is silent about work that fits on no node: an autoscaler might still bring one.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

Resources = Mapping[str, float]
SHOWN = ("CPU", "GPU", "memory")


def waiting(stalled: bool, spare: int = 0) -> str | None:
    """A sentence on what fits on no node of the connected cluster; None where all fits.

    stalled: the job has made no progress lately, so that what waits for room on a busy node counts too, if it is more
    than `spare` requests, which the job needs only once a node joins.
    """
    from ray._private.worker import global_worker
    from ray.autoscaler.v2.sdk import get_cluster_resource_state
    from ray.core.generated import autoscaler_pb2

    try:
        state = get_cluster_resource_state(global_worker.gcs_client)  # type: ignore[attr-defined]
    except Exception:  # the head does not answer; whoever works with it says so
        return None
    nodes = [node for node in state.node_states if node.status != autoscaler_pb2.DEAD]  # type: ignore[attr-defined]
    requests = [(dict(each.request.resources_bundle), each.count) for each in state.pending_resource_requests]
    for gang in state.pending_gang_resource_requests:
        requests += [(dict(request.resources_bundle), 1) for request in gang.requests]
    return unmet(
        requests, [(dict(node.total_resources), dict(node.available_resources)) for node in nodes], stalled, spare
    )


def unmet(
    requests: Iterable[tuple[Resources, int]], nodes: list[tuple[Resources, Resources]], stalled: bool, spare: int = 0
) -> str | None:
    """The same of (what is asked for, how often), and of nodes (what each has, what is free of it)."""
    counts: Counter[str] = Counter()
    queued: Counter[str] = Counter()  # on nodes that are busy
    for asked, count in requests:
        fits = any(all(has.get(name, 0) >= much for name, much in asked.items()) for has, _ in nodes)
        (queued if fits else counts)[_words(asked)] += count
    if stalled and queued.total() > spare:
        counts += queued
    if not counts:
        return None
    wanted = ", ".join(f"{count} × ({words})" for words, count in counts.items())
    there = Counter(_words(has, free) for has, free in nodes)
    have = ", ".join(f"{count} × ({words})" for words, count in there.items()) or "none"
    return f"waits for resources: asked for {wanted}; nodes that are up: {have}"


def _words(amounts: Resources, free: Resources | None = None) -> str:
    """1 CPU, 0.5 GPU; with `free`: 1 of 4 CPU free."""
    names = SHOWN if free is not None else sorted(amounts, key=lambda name: (name not in SHOWN, name))
    return ", ".join(_amount(name, amounts, free) for name in names if name in amounts or name == "CPU") or "nothing"


def _amount(name: str, amounts: Resources, free: Resources | None) -> str:
    scale, unit = (2**30, "GiB memory") if name == "memory" else (1, name)
    much = f"{amounts.get(name, 0) / scale:.3g}"
    return f"{much} {unit}" if free is None else f"{free.get(name, 0) / scale:.3g} of {much} {unit} free"
