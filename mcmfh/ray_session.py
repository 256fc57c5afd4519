"""The one place that sets Ray's environment and connects: a laptop, or the cluster that `cluster.address` names.

Ray reads its environment when it is imported. So jobs import what imports Ray (bulk, training, serving) inside their
main function, after `connect`.
"""

import json
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mcmfh.config import ClusterConfig

# Ray reads these when its processes start. Values the user has set are kept.
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_V2_ENABLED": "1",
    # With the default 2 s a crashed worker loses its latest checkpoint.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "60",
    "AWS_EC2_METADATA_DISABLED": "true",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "OPENBLAS_NUM_THREADS": "1",
    # As processes.keep_freed_memory, for workers, whose tasks run in threads: a thread's own arena gives back the most.
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
}
# On one machine nothing listens on an outside address.
LOCAL_ENVIRONMENT = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # Ray Data starts its actors in a way that its own core reports as an error, harmlessly, in every run.
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}
# What workers on other nodes need from the submitting process, half of it to reach the store.
FORWARDED = (
    "AWS_ENDPOINT_URL",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_EC2_METADATA_DISABLED",
    "OPENBLAS_NUM_THREADS",
    "MALLOC_ARENA_MAX",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_TRIM_THRESHOLD_",
)


def prepare(local: bool) -> None:
    """Set Ray's environment, keeping what the user set. Raises RuntimeError when Ray has been imported already."""
    wanted = {**ENVIRONMENT, **(LOCAL_ENVIRONMENT if local else {})}
    missing = {name: value for name, value in wanted.items() if name not in os.environ}
    if "ray" in sys.modules and any(name.startswith("RAY_") for name in missing):
        raise RuntimeError("ray was imported before ray_session.connect; import modules that use Ray after it")
    os.environ.update(missing)


def connect(cluster: ClusterConfig) -> None:
    """Join the cluster at `cluster.address`, or start Ray here; does nothing when already connected."""
    local = cluster.address is None and "RAY_ADDRESS" not in os.environ
    prepare(local)

    import ray
    import ray.data

    if ray.is_initialized():
        return
    options: dict[str, Any] = {"log_to_driver": cluster.worker_logs, "logging_level": "WARNING"}
    if local:  # its workers inherit this process's environment; one of their own would cost new processes
        memory = cluster.object_store_mb * 2**20
        # "local": without it Ray would join whatever cluster was last started on this machine, or fail on its remains.
        options |= {"address": "local", "num_cpus": cluster.num_cpus, "object_store_memory": memory}
        with _quiet_core():
            ray.init(include_dashboard=False, **options)
    else:
        # A submitted job has some of them already, and naming one twice is an error.
        job = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")).get("runtime_env") or {}
        missing = (set(FORWARDED) & set(os.environ)) - set(job.get("env_vars") or {})
        ray.init(
            address=cluster.address or "auto",
            runtime_env={"env_vars": {name: os.environ[name] for name in sorted(missing)}},
            **options,
        )
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    for name in ("ray.data", "ray.train"):
        logging.getLogger(name).setLevel(logging.ERROR)


@contextmanager
def _quiet_core() -> Iterator[None]:
    """Keep off the terminal what Ray's core says while it starts (that its log level was set); an error shows it."""
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            yield
        except BaseException:
            said.seek(0)
            os.write(terminal, said.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


def device(use_gpu: bool | str) -> str:
    """ "cuda" when the cluster has a GPU and `use_gpu` allows it, else "cpu"."""
    import ray

    if use_gpu == "auto":
        use_gpu = ray.cluster_resources().get("GPU", 0) >= 1
    return "cuda" if use_gpu else "cpu"


def disconnect() -> None:
    """Stop what this process started, or leave the cluster it joined."""
    import ray

    ray.shutdown()
