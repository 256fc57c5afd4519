"""The Ray Serve application: one deployment holds ingress, encoder and index; replicas share the mapped snapshot."""

import logging
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.serve.config import BackpressureConfig

from mcmfh.config import Config, ServeConfig
from mcmfh.serving.access import check_binding, configured_keys
from mcmfh.serving.application import application
from mcmfh.serving.replica import Replica


@serve.deployment(health_check_period_s=5)
@serve.ingress()
class Endpoint:
    def __init__(self, config: dict[str, Any]):
        self.replica = Replica(Config.model_validate(config))

    def __serve_build_asgi_app__(self) -> FastAPI:
        return application(self.replica)

    def check_health(self) -> None:
        self.replica.check_health()


def options(config: ServeConfig) -> dict[str, Any]:
    """What Serve is told: how many replicas, and how much may wait before 503."""
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


def start(config: Config) -> str:
    """Deploy on the connected Ray and wait until a replica answers; returns the endpoint's URL. Raises InputError."""
    check_binding(config.serve, configured_keys(config.serve))
    # Serve speaks of its own start; importing it has just set that anew.
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    serve.start(http_options={"host": config.serve.host, "port": config.serve.port})
    application = Endpoint.options(**options(config.serve)).bind(config.model_dump(mode="json"))  # type: ignore[attr-defined]
    serve.run(application, name="mcmfh", route_prefix="/")
    return f"http://{config.serve.host}:{config.serve.port}"


def stop() -> None:
    """Take the endpoint down: no new requests, those under way are finished within serve.drain_seconds."""
    serve.delete("mcmfh")
