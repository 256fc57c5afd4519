"""The Ray Serve application, in two layouts.

single     one deployment holds ingress, encoder and index; replicas of a node share the mapped snapshot
sharded    ingress replicas, a pool of encoders, and one deployment for each part of the archive: for GPUs that several
           ingress replicas share, and for archives that exceed one node
"""

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict
from ray import serve
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.serve.config import BackpressureConfig
from ray.serve.context import _get_global_client
from ray.serve.exceptions import DeploymentUnavailableError
from ray.serve.schema import ApplicationStatus

from mcmfh import processes, ray_session
from mcmfh.config import Config, ServeConfig, load_config
from mcmfh.errors import InputError
from mcmfh.hashing.bundle import device_of_codes
from mcmfh.search.sharding import ShardedSource
from mcmfh.serving import pooled
from mcmfh.serving.application import application
from mcmfh.serving.binding import check_binding, check_start, is_loopback
from mcmfh.serving.fence import Fence
from mcmfh.serving.pooled import CALL_S, DeploymentCalls, PooledEncoding
from mcmfh.serving.rates import Buckets, Leases
from mcmfh.serving.replica import Replica
from mcmfh.serving.served import first_readable
from mcmfh.serving.status import reason
from mcmfh.snapshots.document import bundle_address
from mcmfh.store import files
from mcmfh.store.layout import archive_root

APPLICATION = "mcmfh"
TRIES = 3
logger = logging.getLogger(__name__)


@serve.deployment(health_check_period_s=5)
@serve.ingress()
class Endpoint:
    async def __init__(  # type: ignore[misc]
        self, config: dict[str, Any], device: str, rates: Any = None, pool: Any = None, *parts: Any
    ):
        ray_session.keep_on_loopback()
        parsed = Config.model_validate(config)
        self.rates = Leases(rates.lease.remote, parsed.serve.most_replicas) if rates else None
        remote: dict[str, Any] = {}
        if parts:
            calls = DeploymentCalls(parts, pool, call_with_retries)
            remote = {
                "open_source": lambda root, number: ShardedSource(
                    root, number, len(parts), partial(calls.ask_parts, root)
                ),
                "encoding": PooledEncoding(calls),
            }
        self.replica = await asyncio.to_thread(Replica, parsed, device=device, **remote)

    def __serve_build_asgi_app__(self) -> FastAPI:
        return application(self.replica, self.rates)

    def state(self) -> str:
        """What is served, in words."""
        return self.replica.state()

    def guarded(self) -> bool:
        """Whether requests need a key."""
        return self.replica.config.serve.guarded

    def check_health(self) -> None:
        self.replica.check_health()


@serve.deployment(health_check_period_s=5, max_ongoing_requests=1000, ray_actor_options={"num_cpus": 0})
class Rates(Buckets):
    """What all replicas together may admit for each key."""

    def __init__(self) -> None:
        ray_session.keep_on_loopback()
        super().__init__()


IndexPart: Any = serve.deployment(health_check_period_s=5)(pooled.IndexPart)
Encoders: Any = serve.deployment(health_check_period_s=5)(pooled.Encoders)


async def call_with_retries(method: Any, *arguments: Any) -> Any:
    """The result of a handle's method. An exception of the called code is raised as itself, without Ray's wrapper."""
    for left in reversed(range(TRIES)):
        try:
            return await method.remote(*arguments)
        except RayTaskError as error:
            raise error.cause from None
        except (RayActorError, DeploymentUnavailableError):
            if not left:
                raise
    raise AssertionError("unreachable")


def ingress_options(config: ServeConfig) -> dict[str, Any]:
    """Serve's options for the ingress: the number of replicas, and how many requests may wait before 503."""
    options: dict[str, Any] = {
        # Serve accepts a few more than the middleware, which refuses first: its refusals are problem documents.
        "max_ongoing_requests": config.max_waiting + 16,
        "max_queued_requests": config.max_waiting,
        "backpressure_config": BackpressureConfig(status_code=503, retry_after_s=1),
        "graceful_shutdown_timeout_s": config.drain_seconds,
    }
    if config.most_replicas > config.replicas:
        options["autoscaling_config"] = {
            "min_replicas": config.replicas,
            "max_replicas": config.most_replicas,
            "target_ongoing_requests": config.target_ongoing_requests,
        }
    else:
        options["num_replicas"] = config.replicas
    return options


def serve_application(config: Config, device: str) -> Any:
    """The Serve application in the configured layout."""
    plain, settings = config.model_dump(mode="json"), config.serve
    asked = {"num_gpus": settings.gpus(device), "memory": (settings.memory_mb or 0) * 2**20}
    actor = {"ray_actor_options": {name: amount for name, amount in asked.items() if amount}}
    spread = {"max_replicas_per_node": settings.max_replicas_per_node}
    ingress = ingress_options(settings) | spread
    rates = Rates.bind() if settings.guarded and settings.most_replicas > 1 else None  # type: ignore[attr-defined]
    if settings.layout == "single":
        return Endpoint.options(**ingress, **actor).bind(plain, device, rates)  # type: ignore[attr-defined]
    inside = {"max_ongoing_requests": (settings.max_waiting + 16) * settings.most_replicas} | spread
    roots = [archive_root(config.store, name) for name in config.served_archives]
    pool = Encoders.options(num_replicas=settings.encoders, **inside, **actor).bind(plain, device)
    parts = [
        IndexPart.options(name=f"part-{part}", num_replicas=settings.part_replicas, **inside).bind(
            roots, part, settings.parts, settings.sweep_seconds
        )
        for part in range(settings.parts)
    ]
    return Endpoint.options(**ingress).bind(plain, "cpu", rates, pool, *parts)  # type: ignore[attr-defined]


def query_device(config: Config) -> str:
    """The kind of device to encode queries on: that of the newest snapshot's codes, as others round differently.

    Where the cluster has no GPUs it is the CPU. An archive whose codes were made on another kind is served if its
    model's canary has equal codes there. Raises InputError where no archive has a snapshot that can be read.
    """
    root, document = first_readable(config)
    device = device_of_codes(bundle_address(root, document))
    return device if ray_session.has_gpus(config.cluster) else "cpu"


def start(config: Config, say: Callable[[str], object] = logger.warning, every_s: float = 30) -> str:
    """Deploy on the connected Ray and wait until the replicas answer; returns the endpoint's URL. Raises InputError.

    A Ray cluster has one HTTP proxy, on each of its nodes. Where it runs already, its address counts and not the
    configured one. say: told every `every_s` seconds what is still missing.
    """
    check_start(config.serve)
    # Importing Serve resets its log level, at which it reports its own start.
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    start_proxy(config.serve)
    target = serve.RunTarget(checked_application(config), name=APPLICATION, route_prefix="/")
    serve.run_many([target], wait_for_ingress_deployment_creation=False, wait_for_applications_running=False)
    wait_until_running(say, every_s)
    host, port = listening()
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def start_proxy(settings: ServeConfig) -> None:
    """Start Serve's proxy, unless one runs on this Ray.

    Behind a fence only the proxy listens on serve.host: for Serve, and so for its replicas, the host is loopback.
    """
    host, fence_file = settings.host, ray_session.fence_file()
    if fence_file and _get_global_client(raise_if_no_controller_running=False) is None:
        Fence.of(settings).write(fence_file)
        host = "127.0.0.1"
    try:
        serve.start(http_options={"host": host, "port": settings.port})
    except (RayError, RuntimeError, TimeoutError) as error:
        where = f"'{settings.host}', port {settings.port}"
        raise InputError(f"the proxy did not start on {where} ({reason(str(error))}); see Ray's logs") from error


def wait_until_running(say: Callable[[str], object], every_s: float) -> None:
    """Return when all replicas run. Raises InputError, with the reason, where one does not start."""
    told = time.monotonic()
    while True:
        application = serve.status().applications[APPLICATION]
        if application.status == ApplicationStatus.RUNNING:
            return
        messages = [one.message for one in application.deployments.values() if one.message] or [application.message]
        if application.status in (ApplicationStatus.DEPLOY_FAILED, ApplicationStatus.UNHEALTHY):
            raise InputError(f"the endpoint does not start: {reason(messages[0])}")
        if time.monotonic() - told > every_s:
            states = [f"{name} {one.replica_states}" for name, one in application.deployments.items()]
            say(f"the endpoint is starting: {reason(messages[0]) if messages[0] else ', '.join(states)}")
            told = time.monotonic()
        time.sleep(0.1)


class BuilderArguments(BaseModel):
    """`args` of a Serve configuration file.

    config: path of a ray_config.yaml on the nodes; None reads the one of the working folder, if there is one.
    overrides: section.key=value, as on a command line.
    """

    model_config = ConfigDict(extra="forbid")

    config: str | None = None
    overrides: tuple[str, ...] = ()


def builder(arguments: BuilderArguments) -> Any:
    """The application for `serve deploy` and KubeRay's RayService: `import_path: mcmfh.serving.deployment:builder`.

    Raises InputError as `start` does, among others where the file's own `http_options` open an endpoint without keys.
    """
    config = load_config(arguments.overrides, arguments.config)
    check_start(config.serve)
    return checked_application(config)


def checked_application(config: Config) -> Any:
    """The application, if the proxy that runs may offer it. Raises InputError if not."""
    check_binding(config.serve, listening()[0])
    check_replaced(config.serve)
    if config.serve.keys_uri:  # replicas have other working folders
        absolute = config.serve.model_copy(update={"keys_uri": files.absolute(config.serve.keys_uri)})
        config = config.model_copy(update={"serve": absolute})
    return serve_application(config, query_device(config))


def listening() -> tuple[str, int]:
    """(host, port) of the proxy that runs, as this machine's kernel or else Serve's controller knows it.

    Raises InputError where Serve does not run, so that its address cannot be checked.
    """
    client = _get_global_client(raise_if_no_controller_running=False)
    if client is None:
        raise InputError(
            "Ray Serve does not run, so its address cannot be checked; use `serve deploy` or jobs/serve.py"
        )
    http = client.http_config
    outside = sorted(host for host in (http.host, *processes.listening(http.port)) if not is_loopback(host))
    return (outside or [http.host])[0], http.port


def check_replaced(settings: ServeConfig) -> None:
    """Raise InputError where an endpoint that asks for keys would be replaced by one that does not."""
    running = serve.status().applications.get(APPLICATION)
    if settings.guarded or running is None or not running.deployments:
        return
    try:
        guarded = asked("guarded", 10)
    except Exception:  # an endpoint that does not answer may be a guarded one
        guarded = True
    if guarded:
        raise InputError(
            "an endpoint that asks for keys runs on this Ray cluster and no access key is configured; configure "
            "serve.keys or serve.keys_uri, or take that endpoint down with `serve shutdown`"
        )


def state() -> str:
    """What a replica of the running endpoint serves, in words."""
    return str(asked("state", CALL_S))


def asked(method: str, seconds: float) -> Any:
    """What `method` of a replica of the running endpoint returns. Raises TimeoutError where none answers in time."""

    async def ask() -> Any:
        return await getattr(serve.get_app_handle(APPLICATION), method).remote()

    # With HAProxy's variables a handle works on an event loop alone.
    return asyncio.run(asyncio.wait_for(ask(), seconds))


def stop() -> None:
    """Take the endpoint down. Requests in flight have serve.drain_seconds to finish."""
    serve.delete(APPLICATION)
