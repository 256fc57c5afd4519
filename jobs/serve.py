"""Snapshot → endpoint: POST /v1/search with an image or a report; OpenAPI at /docs.

python jobs/serve.py store=… archive.name=… serve.replicas=2
"""

import signal

from mcmfh import ray_session
from mcmfh.command import run_job
from mcmfh.config import Config
from mcmfh.search.opening import newest_readable
from mcmfh.serving.binding import check_start
from mcmfh.store.layout import archive_root


def main(config: Config) -> None:
    """Serve the newest snapshot of the archive archive.name until interrupted."""
    newest_readable(archive_root(config.store, config.archive.name))
    check_start(config.serve)
    ray_session.connect(config.cluster, fast_proxy=config.serve.guarded)
    from mcmfh.serving.deployment import start, state, stop

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    url = start(config)
    print(f"{state()} at {url}; Ctrl-C stops", flush=True)
    try:
        signal.pause()
    except KeyboardInterrupt:
        if config.cluster.address is None:  # on a cluster the endpoint outlives this job
            stop()
        ray_session.disconnect()


if __name__ == "__main__":
    run_job(main)
