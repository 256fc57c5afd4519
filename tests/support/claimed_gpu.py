"""All stages by the calls that the jobs make, on the cluster at RAY_ADDRESS. Prints one line of JSON at the end.

python claimed_gpu.py section.key=value …
"""

import json
import sys

from mcmfh import ray_session
from mcmfh.client import search_endpoint
from mcmfh.config import load_config
from mcmfh.pipeline.archive import open_manifest, read_archive
from mcmfh.store import files


def main(overrides: list[str]) -> None:
    config = load_config(overrides, read_default=False)
    manifest = open_manifest(config.archive)
    ray_session.connect(config.cluster)
    import ray
    from ray.util.state import list_actors

    from mcmfh.pipeline.dry_run import estimate
    from mcmfh.pipeline.embed import embed_archive
    from mcmfh.pipeline.hash import hash_archive
    from mcmfh.pipeline.train import train_archive
    from mcmfh.serving.deployment import start, stop

    expected = str(estimate(config, manifest))
    embedded = embed_archive(config, manifest)
    train_archive(config, read_archive(config.archive))
    published = hash_archive(config, manifest)
    url = start(config)
    answer = search_endpoint(url, None, {"report": "finding 7", "k": 3})
    asked = {}
    for actor in list_actors(detail=True, limit=1000):
        gpus = [amount for name, amount in (actor.required_resources or {}).items() if name.startswith("GPU")]
        if gpus:
            asked[actor.class_name.split(":")[-1]] = max(gpus)
    stop()
    print(
        json.dumps(
            {
                "device": embedded.spec.device,
                "encoded": embedded.encoded,
                "published": published.items,
                "hits": len(answer["hits"]),
                "asked": asked,
                "expected": expected,
                "namespace": ray.get_runtime_context().namespace,
                "units": files.names(f"{config.store}/embeddings"),
            }
        )
    )
    ray_session.disconnect()


if __name__ == "__main__":
    main(sys.argv[1:])
