"""The Ray Serve application, in two layouts of the same parts.

single     one deployment holds ingress, encoder and index; replicas of a node share the mapped snapshot
sharded    ingress replicas, a pool of encoders, and one deployment a part of the archive: for GPUs that are worth
           sharing, and archives past one node
"""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.exceptions import RayActorError, RayTaskError
from ray.serve.config import BackpressureConfig
from ray.serve.exceptions import DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle

from mcmfh import ray_session
from mcmfh.config import Config, ServeConfig
from mcmfh.errors import InputError
from mcmfh.hashing import load_bundle
from mcmfh.hashing.bundle import Bundle
from mcmfh.search.batching import Logits
from mcmfh.search.opening import latest
from mcmfh.search.sharding import Call, Part, Spread
from mcmfh.serving.access import check_binding, configured_keys
from mcmfh.serving.application import application
from mcmfh.serving.encoding import HereEncoding
from mcmfh.serving.replica import Replica
from mcmfh.store import files
from mcmfh.store.layout import archive_root

ASK_S = 60
TRIES = 3


@serve.deployment(health_check_period_s=5)
@serve.ingress()
class Endpoint:
    async def __init__(self, config: dict[str, Any], device: str, pool: Any = None, *parts: Any):  # type: ignore[misc]
        parsed = Config.model_validate(config)
        places: dict[str, Any] = {}
        if parts:
            asking = Asking(parts, pool)
            places = {
                "opened": lambda root, number: Spread(root, number, len(parts), asking.parts),
                "encoding": PooledEncoding(asking),
            }
        self.replica = await asyncio.to_thread(Replica, parsed, device=device, **places)

    def __serve_build_asgi_app__(self) -> FastAPI:
        return application(self.replica)

    def check_health(self) -> None:
        self.replica.check_health()


@serve.deployment(health_check_period_s=5)
class IndexPart:
    """One part of the archive's snapshots."""

    def __init__(self, root: str, part: int, parts: int):
        self.part = Part(root, part, parts)

    async def ask(self, number: int, method: str, arguments: tuple) -> Any:
        return await asyncio.to_thread(self.part.ask, number, method, arguments)


@serve.deployment(health_check_period_s=5)
class Encoders:
    """An encoder and the hash heads of the two bundles asked for last."""

    def __init__(self, config: dict[str, Any], device: str):
        parsed = Config.model_validate(config)
        self.device = device
        self.encoding = HereEncoding(parsed.archive.limits, parsed.serve.max_batch)
        self.bundles: dict[str, Bundle] = {}
        self.loading = asyncio.Lock()

    async def load(self, uri: str) -> Bundle:
        async with self.loading:
            if uri not in self.bundles:
                bundle = await asyncio.to_thread(load_bundle, uri, self.device)
                await asyncio.to_thread(bundle.checked_encoder)
                self.bundles = {**dict([*self.bundles.items()][-1:]), uri: bundle}
        return self.bundles[uri]

    async def warm(self, uri: str) -> None:
        await self.load(uri)

    async def logits(self, uri: str, modality: str, content: str | bytes) -> Logits:
        return await self.encoding.logits(await self.load(uri), uri, modality, content)


class Asking:
    """Calls to other deployments, on the event loop where their handles live, from any thread.

    A call that a dying process took with it is made again: all of them only read.
    """

    def __init__(self, parts: Sequence[DeploymentHandle], pool: DeploymentHandle):
        self.handles, self.pool, self.loop = parts, pool, asyncio.get_running_loop()

    def parts(self, number: int, calls: Sequence[Call]) -> list[Any]:
        """Results of Source methods of snapshot `number`, asked at once. Not to be called on the loop."""

        async def together() -> list[Any]:
            return await asyncio.gather(
                *(answered(self.handles[part].ask, number, method, arguments) for part, method, arguments in calls)
            )

        return self.now(together()).result(ASK_S)

    def now(self, coroutine: Any) -> Future:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)


async def answered(method: Any, *arguments: Any) -> Any:
    """The result of a handle's method; an error of the called code is raised as itself."""
    for left in reversed(range(TRIES)):
        try:
            return await method.remote(*arguments)
        except RayTaskError as error:
            raise error.cause from None
        except (RayActorError, DeploymentUnavailableError):
            if not left:
                raise
    raise AssertionError("unreachable")


class PooledEncoding:
    """The encoders of the pool as an Encoding."""

    def __init__(self, asking: Asking):
        self.asking = asking

    def load(self, bundle: Bundle, uri: str) -> None:
        self.asking.now(answered(self.asking.pool.warm, uri)).result(10 * ASK_S)

    async def logits(self, bundle: Bundle, uri: str, modality: str, content: str | bytes) -> Logits:
        return await asyncio.wrap_future(self.asking.now(answered(self.asking.pool.logits, uri, modality, content)))

    def close(self) -> None:
        return


def options(config: ServeConfig) -> dict[str, Any]:
    """What Serve is told of the ingress: how many replicas, and how much may wait before 503."""
    chosen: dict[str, Any] = {
        # The gate has the first word on what is too much: its refusals are problem documents.
        "max_ongoing_requests": config.max_waiting + 16,
        "max_queued_requests": config.max_waiting,
        "backpressure_config": BackpressureConfig(status_code=503, retry_after_s=1),
        "graceful_shutdown_timeout_s": config.drain_seconds,
    }
    if config.most_replicas > config.replicas:
        chosen["autoscaling_config"] = {"min_replicas": config.replicas, "max_replicas": config.most_replicas}
    else:
        chosen["num_replicas"] = config.replicas
    return chosen


def bound(config: Config, device: str) -> Any:
    """The application in the configured layout."""
    plain, settings = config.model_dump(mode="json"), config.serve
    gpu = {"ray_actor_options": {"num_gpus": 1}} if device == "cuda" else {}
    if settings.layout == "single":
        return Endpoint.options(**options(settings), **gpu).bind(plain, device)  # type: ignore[attr-defined]
    inside = {"max_ongoing_requests": (settings.max_waiting + 16) * settings.most_replicas}
    root = archive_root(config.store, config.archive.name)
    pool = Encoders.options(num_replicas=settings.encoders, **inside, **gpu).bind(plain, device)  # type: ignore[attr-defined]
    parts = [
        IndexPart.options(name=f"part-{part}", num_replicas=settings.part_replicas, **inside).bind(  # type: ignore[attr-defined]
            root, part, settings.parts
        )
        for part in range(settings.parts)
    ]
    return Endpoint.options(**options(settings)).bind(plain, "cpu", pool, *parts)  # type: ignore[attr-defined]


def device_of(config: Config) -> str:
    """The kind of device that made the newest snapshot's codes, so queries' too: others round otherwise.

    Raises InputError where that is a GPU and the cluster has none.
    """
    number, document = latest(archive_root(config.store, config.archive.name))
    bundle = files.read_json(files.join(document.bundle, "config.json"))
    device = bundle["encoder_identity"]["device"]
    if device == "cuda" and ray_session.device("auto") != "cuda":
        raise InputError(f"snapshot {number} was hashed on a GPU and there is none here; serve it where there is one")
    return device


def start(config: Config) -> str:
    """Deploy on the connected Ray and wait until a replica answers; returns the endpoint's URL. Raises InputError."""
    check_binding(config.serve, configured_keys(config.serve))
    # Serve speaks of its own start; importing it has just set that anew.
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    serve.start(http_options={"host": config.serve.host, "port": config.serve.port})
    serve.run(bound(config, device_of(config)), name="mcmfh", route_prefix="/")
    return f"http://{config.serve.host}:{config.serve.port}"


def stop() -> None:
    """Take the endpoint down: no new requests, those under way are finished within serve.drain_seconds."""
    serve.delete("mcmfh")
