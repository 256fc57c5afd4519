"""The embedding job in a process. Prints one line of JSON: when each unit was embedded, and by which worker.

python -m mcmfh.benchmarks.bulk.job '{"encoder": "packaged", "source": null, "overrides": ["archive.manifest=…"]}'
"""

import json
import sys
from typing import Any

from mcmfh import ray_session
from mcmfh.config import load_config
from mcmfh.pipeline.archive import open_manifest
from mcmfh.store.layout import archive_root


def run(order: dict[str, Any]) -> list[dict[str, Any]]:
    """Do what jobs/embed.py does, with the encoder that `order` names; returns the fields of each UnitDone."""
    config = load_config(order["overrides"], read_default=False)
    manifest = open_manifest(config.archive)
    ray_session.connect(config.cluster)
    from mcmfh.benchmarks.bulk.contestants import contestant
    from mcmfh.bulk.embed import embed
    from mcmfh.bulk.listing import listed, plan

    spec, load = contestant(order["encoder"], order["source"], order["device"])
    with listed(config, archive_root(config.store, config.archive.name), manifest) as listing:
        planned = plan(config, listing, spec)
        work = [unit for one in planned for unit in one.units]
        done = [vars(unit) for unit in embed(config, spec, work, load)]
    ray_session.disconnect()
    return done


if __name__ == "__main__":
    print(json.dumps(run(json.loads(sys.argv[1]))))
