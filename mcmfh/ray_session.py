"""The only module that sets Ray's environment and connects: Ray on this machine, or the cluster at `cluster.address`.

Ray reads its environment when it is imported. Jobs therefore import the modules that import Ray (bulk, training,
serving.deployment) inside their main function, after `connect`.
"""

import atexit
import importlib
import json
import logging
import os
import shlex
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mcmfh.config import ClusterConfig
from mcmfh.console import quiet_core
from mcmfh.errors import InputError
from mcmfh.processes import free_port

# Ray reads these when its processes start. Values the user has set are kept.
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_V2_ENABLED": "1",
    # With the default 2 s a crashed worker loses its latest checkpoint.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "60",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "OPENBLAS_NUM_THREADS": "1",
    # For workers, what processes.keep_freed_memory does here. Their tasks run in threads, and each thread's own arena
    # would give its memory back.
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
}
# On one machine nothing listens on an outside address.
LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
CALLBACK = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
DRAINING = "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S"
LOCAL_ENVIRONMENT = {
    LOOPBACK: "0",
    DRAINING: "0",  # here no replica is replaced by one of another version while the endpoint answers
    # Without it Serve's own proxy answers 404 while an endpoint stops.
    CALLBACK: "mcmfh.serving.unrouted:middlewares",
}
# Of the process that connects alone, so that the nodes' own logs stay whole. Ray's core logs a harmless error in every
# run about the way in which Ray Data starts its actors.
DRIVER_ENVIRONMENT = {"RAY_BACKEND_LOG_LEVEL": "fatal"}
# HAProxy in front of Serve's replicas: several times as fast. What it opens is fenced (see _fence_proxy).
HAPROXY = "RAY_SERVE_ENABLE_HA_PROXY"
BINARY = "RAY_SERVE_HAPROXY_BINARY_PATH"
FENCE = "MCMFH_PROXY_FENCE"
FAST_PROXY_ENVIRONMENT = {
    HAPROXY: "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    # A replica that is replaced answers for so long: until the proxies of all nodes have heard of the new one.
    DRAINING: "5",
    # Queries only read, so the proxy repeats those lost with a replica. A body larger than the proxy's buffer, such as
    # an image, cannot be repeated: the client retries it.
    "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response",
}
# Without keys the metadata service may be what holds a machine's identity; with keys it is asked in vain.
NO_METADATA = {"AWS_EC2_METADATA_DISABLED": "true"}
# Ray shows a job's environment to everybody who may look at its jobs, and writes it to logs: keys stay here.
KEYS = (
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    *("AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_TOKEN"),
)
# What workers on other nodes take over from the submitting process, first to find the store.
FORWARDED = (
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AZURE_STORAGE_ACCOUNT_NAME",
    "STORAGE_EMULATOR_HOST",
    "OPENBLAS_NUM_THREADS",
    "MALLOC_ARENA_MAX",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_TRIM_THRESHOLD_",
)


def defaults(local: bool, fast_proxy: bool, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables that `prepare` sets where the user has not."""
    return {
        **ENVIRONMENT,
        **(NO_METADATA if KEYS[0] in environment else {}),
        **DRIVER_ENVIRONMENT,
        **(FAST_PROXY_ENVIRONMENT if fast_proxy else {}),
        **(LOCAL_ENVIRONMENT if local else {}),  # the last: of a variable that both name, its value holds
    }


def prepare(local: bool, fast_proxy: bool = False, environment: MutableMapping[str, str] = os.environ) -> None:
    """Set Ray's environment, keeping what the user set. Raises RuntimeError when Ray has been imported already.

    fast_proxy: run HAProxy in front of Serve's replicas; only for endpoints that access keys guard.
    """
    wanted = defaults(local, fast_proxy, environment)
    missing = {name: value for name, value in wanted.items() if name not in environment}
    if "ray" in sys.modules and any(name.startswith("RAY_") for name in missing):
        raise RuntimeError("ray was imported before ray_session.connect; import modules that use Ray after it")
    environment.update(missing)


def forwarded(keys: bool, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables that go with a job to the cluster's nodes.

    keys: also keys of AWS and Azure, with a warning; otherwise the nodes reach the store by an identity of their own.
    """
    present = [name for name in KEYS if name in environment]
    if keys and present:
        logging.getLogger(__name__).warning(
            "%s go with the job: whoever may look at the cluster's jobs or logs can read them", ", ".join(present)
        )
    names = (*FORWARDED, *KEYS, *NO_METADATA) if keys else FORWARDED
    return {name: environment[name] for name in names if name in environment}


def check_proxy(guarded: bool, environment: Mapping[str, str] = os.environ) -> None:
    """Raise InputError where the environment asks for HAProxy in front of an endpoint that no access key guards."""
    if not guarded and environment.get(HAPROXY) == "1":
        raise InputError(
            f"{HAPROXY}=1 opens statistics ports on every address and no access key is configured; "
            "make one with mcmfh key new NAME, or unset the variable"
        )


def starts_haproxy(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a Ray that starts here with the fast proxy needs a HAProxy that this package finds."""
    return environment.get(HAPROXY, "1") == "1" and BINARY not in environment


def starts_here(cluster: ClusterConfig) -> bool:
    """Whether `connect` starts a Ray of its own, which ends with this process, instead of joining a cluster."""
    return cluster.address is None and "RAY_ADDRESS" not in os.environ


def connect(cluster: ClusterConfig, fast_proxy: bool = False) -> None:
    """Join the cluster at `cluster.address`, or start Ray here; does nothing when already connected.

    fast_proxy: see `prepare`. On a cluster the variables go to every node with the processes of Serve that this one
    starts: each node has a proxy of its own, which reads them.

    Raises InputError where Ray cannot be started or joined.
    """
    local = starts_here(cluster)
    if not local:
        check_reachable(cluster.address or os.environ["RAY_ADDRESS"])
    prepare(local, fast_proxy)
    if local and fast_proxy and os.environ[HAPROXY] == "1":
        _fence_proxy()

    import ray
    import ray.data

    if ray.is_initialized():
        return
    options: dict[str, Any] = {
        "namespace": cluster.namespace,
        "log_to_driver": cluster.worker_logs,
        "logging_level": "WARNING",
    }
    if local:  # workers inherit this process's environment; a runtime_env would start further processes
        memory = object_store_bytes(cluster.object_store_mb)
        # Without "local" Ray would join the cluster last started on this machine, or fail where that one has ended.
        options |= {"address": "local", "num_cpus": cluster.num_cpus, "object_store_memory": memory}
        with quiet_core(), _private_files(), _told_in_one_line("this machine"):
            ray.init(include_dashboard=False, **options)
    else:
        # A submitted job's runtime_env sets some of them already, and Ray refuses a variable that is set twice.
        job = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")).get("runtime_env") or {}
        sent = job.get("env_vars") or {}
        keys = cluster.forward_keys and KEYS[0] not in sent
        proxy = {name: os.environ[name] for name in FAST_PROXY_ENVIRONMENT} if fast_proxy else {}
        variables = {name: value for name, value in (forwarded(keys) | proxy).items() if name not in sent}
        address = cluster.address or "auto"
        with quiet_core(), _told_in_one_line(cluster.address or os.environ["RAY_ADDRESS"]):
            ray.init(address=address, runtime_env={"env_vars": variables}, **options)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    for name in ("ray.data", "ray.train"):
        logging.getLogger(name).setLevel(logging.ERROR)


def check_reachable(address: str, seconds: float = 10) -> None:
    """Raise InputError where nothing accepts a connection at `address`, host:port. Ray itself tries for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdecimal():  # "auto", which Ray looks up
        return
    with _told_in_one_line(address):
        socket.create_connection((host.strip("[]"), int(port)), seconds).close()


def object_store_bytes(mb: int | None, devices: Path = Path("/dev")) -> int | None:
    """The object store of a Ray that starts here, `mb` or a default; None leaves the choice to Ray.

    Encoders on a CPU need little of it. In front of a GPU every core holds the pictures of a unit ready.
    """
    if mb is None and any(devices.glob("nvidia[0-9]*")):
        return None
    return (mb or 400) * 2**20


def _fence_proxy() -> None:
    """Let the Ray that starts here run HAProxy through `mcmfh.serving.fence`, with its files in a folder of its own.

    Ray's own folder for them has one name for all users, in /tmp. A HAProxy that the user chose is left as it is.
    """
    if BINARY in os.environ:
        return
    folder = Path(tempfile.mkdtemp(prefix="mcmfh-proxy-"))  # a socket's path may not be long
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ.update(
        {
            BINARY: write_starter(folder),
            FENCE: str(folder / "fence.json"),
            "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
            "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin.sock"),
            "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "metrics.sock"),
            "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
            "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
            # Ray's own proxy, behind HAProxy, has one port too, which another endpoint of this machine may hold.
            "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(free_port()),
        }
    )


def write_starter(folder: Path) -> str:
    """The path of a new program in `folder` that runs the fence, and so HAProxy, with this Python."""
    starter = folder / "haproxy"
    source, python = shlex.quote(str(Path(__file__).parents[1])), shlex.quote(sys.executable)
    starter.write_text(f'#!/bin/sh\nPYTHONPATH={source} exec {python} -m mcmfh.serving.fence "$@"\n')
    starter.chmod(0o700)
    return str(starter)


def fence_file() -> Path | None:
    """The file in which the proxy of the Ray that was started here expects its fence; None without a fenced proxy."""
    return Path(os.environ[FENCE]) if FENCE in os.environ else None


def keep_on_loopback() -> None:
    """Where Ray is on this machine alone, let other replicas call this one on loopback, and nobody from outside.

    Called in a replica before it is ready. Ray Serve binds this server, which unpickles what it is sent, to every
    address and has no setting for it.
    """
    if os.environ.get(LOOPBACK) != "0":
        return
    replica: Any = importlib.import_module("ray.serve._private.replica")
    bind = replica.add_port_to_grpc_server
    replica.add_port_to_grpc_server = lambda server, address: bind(server, address.replace("[::]", "127.0.0.1"))


@contextmanager
def _private_files() -> Iterator[None]:
    """Only their owner may read what the block and the processes it starts write, and the token of an earlier Ray."""
    token = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    if token.is_file() and token.stat().st_uid == os.geteuid():
        token.chmod(0o600)
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def _told_in_one_line(where: str) -> Iterator[None]:
    """Turn what Ray raises when it does not start, or cannot be joined, into an InputError."""
    try:
        yield
    except Exception as error:  # ConnectionError and TimeoutError are OSErrors
        of_ray = type(error) is Exception or type(error).__module__.startswith("ray.")
        if not of_ray and not isinstance(error, RuntimeError | OSError | ValueError):
            raise
        raise InputError(start_fault(where, error)) from error


def start_fault(where: str, error: Exception) -> str:
    """One sentence, by the last line of `error`, on a Ray that did not start here or cannot be joined at `where`."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[-1] if lines else type(error).__name__
    if where == "this machine":
        remedy = "look whether memory, disk or processes are short, and into /tmp/ray/session_latest/logs"
        return f"Ray did not start on this machine ({reason}); {remedy}"
    return f"Ray at '{where}' cannot be joined ({reason}); start it, or correct cluster.address or RAY_ADDRESS"


def has_gpus(cluster: ClusterConfig) -> bool:
    """Whether the connected cluster has GPUs, or may scale to them (`cluster.max_gpus`)."""
    import ray

    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return bool(cluster.max_gpus) or resources.get("GPU", 0) > 0


def disconnect() -> None:
    """Stop the Ray that this process started, or leave the cluster that it joined."""
    import ray

    ray.shutdown()
