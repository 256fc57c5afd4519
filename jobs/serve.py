"""Snapshot → endpoint: POST /v1/search with an image or a report; OpenAPI at /docs.

python jobs/serve.py store=… archive.name=… serve.replicas=2        on this machine, until Ctrl-C
mcmfh submit serve   store=… archive.name=… serve.host=0.0.0.0       on a cluster, where the endpoint outlives the job
"""

import signal
from contextlib import suppress

from mcmfh import ray_session
from mcmfh.command import run_job
from mcmfh.config import Config
from mcmfh.serving.binding import check_here, check_start
from mcmfh.serving.served import first_readable


def main(config: Config) -> None:
    """Serve the newest snapshots of serve.archives: here until interrupted, on a cluster until deleted."""
    first_readable(config)
    check_start(config.serve)
    here = ray_session.starts_here(config.cluster)
    if here:
        check_here(config.serve)
    ray_session.connect(config.cluster, fast_proxy=config.serve.guarded)
    from mcmfh.serving.deployment import start, state, stop

    if here:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with suppress(KeyboardInterrupt):  # while it starts, too
            url = start(config, print)
            print(f"{state()} at {url}; Ctrl-C stops", flush=True)
            signal.pause()
        stop()
    else:
        url = start(config, print)
        print(f"{state()} at {url}, on each node with a replica and on the head; mcmfh serve status | delete")
    ray_session.disconnect()


if __name__ == "__main__":
    run_job(main)
