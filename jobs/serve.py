"""Snapshot → endpoint: POST /v1/search with an image or a report; OpenAPI at /docs.

python jobs/serve.py store=… archive.name=… serve.replicas=2
"""

import signal

from mcmfh import ray_session
from mcmfh.command import run_job
from mcmfh.config import Config
from mcmfh.snapshots.archive import archive_root
from mcmfh.snapshots.reading import latest


def main(config: Config) -> None:
    """Serve the newest snapshot of the archive archive.name until interrupted."""
    number, document = latest(archive_root(config.store, config.archive.name))
    ray_session.connect(config.cluster)
    from mcmfh.serving.deployment import start

    url = start(config)
    print(f"snapshot {number} ({document['items']} items) at {url}; Ctrl-C stops", flush=True)
    try:
        signal.pause()
    except KeyboardInterrupt:
        ray_session.disconnect()


if __name__ == "__main__":
    run_job(main)
