"""How many encoders run side by side, and what each of them and each loader asks Ray for.

Whatever the size of a node, and however many encoders wait for one, encoders never fill its CPUs: a loader always fits
beside them. With 0.99 CPU each, n of them fit on n CPUs and leave room for 10 n loaders of 0.001. A limit on the number
of loaders keeps them from crowding a node whose encoders are still to come; and what Ray Data reserves for that number
leaves every CPU an encoder. A GPU's encoder asks for no CPU.

Without a limit the pool starts with one encoder more than fit on what is up. The one that waits starts as soon as a
node joins; more follow as Ray Data's budget allows. The budget alone is not enough: it loses fractions of a CPU of each
node, so that a node of one CPU seems full, and it would stop an encoder whenever the loaders are ahead. With a limit
(cluster.max_cpus, max_gpus) the whole pool is asked for at once: an autoscaler sees the demand for all nodes, and
encoders whose node is not up yet wait. It is also the quota of a job on a cluster that several share.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mcmfh.config import Config
from mcmfh.encoders import EncoderSpec

MB = 2**20
LEAST_LOADERS = 4


@dataclass(frozen=True)
class Pool:
    """Encoders side by side: `least` are asked for from the start, and never fewer; `most` at any time."""

    least: int
    most: int
    encoder: dict[str, float]  # what each asks Ray for
    loader: dict[str, float]
    loaders: int | None  # at a time, at most

    @property
    def strategy(self) -> Any:
        """As Ray Data's compute strategy."""
        from ray.data import ActorPoolStrategy

        return ActorPoolStrategy(min_size=self.least, max_size=self.most)

    @property
    def loading(self) -> Any:
        """Likewise of the loaders."""
        from ray.data import TaskPoolStrategy

        return TaskPoolStrategy(self.loaders)


def encoder_pool(config: Config, spec: EncoderSpec, units: int, resources: Mapping[str, float], apart: bool) -> Pool:
    """The pool for `units` units of work on a cluster of `resources` (Ray's names).

    apart: loaders run beside the encoders; otherwise each encoder loads, and asks for a CPU.
    """
    cluster, gpus = config.cluster, config.encoder.gpus(spec.device)
    loader, encoder = (0.5, 0.0) if gpus else (0.001, 0.99) if apart else (0.0, 1.0)
    asked: dict[str, float] = {"num_cpus": encoder, "num_gpus": gpus}
    if config.encoder.memory_mb:
        asked["memory"] = config.encoder.memory_mb * MB
    here = resources.get("GPU", 0) / gpus if gpus else resources.get("CPU", 0)
    limit = cluster.max_gpus and cluster.max_gpus / gpus if gpus else cluster.max_cpus
    loading: dict[str, float] = {"num_cpus": loader}
    if cluster.task_memory_mb:
        loading["memory"] = cluster.task_memory_mb * MB
    fixed: int | None = config.embed.workers or (int(limit) if limit else None)
    fitting = max(1, int(here))
    least = min(fixed or fitting + 1, units)
    return Pool(
        least=least,
        most=least if fixed else units,
        encoder=asked,
        loader=loading,
        loaders=None if gpus else max(2 * min(fixed or fitting, units), LEAST_LOADERS),
    )


def waits_for_a_node(config: Config) -> bool:
    """Whether the pool has an encoder that waits for a node to join: no size and no limit is set."""
    return not (config.embed.workers or config.cluster.max_cpus or config.cluster.max_gpus)
