"""The encoder alone in a process: decodes its share, waits for a line on stdin, encodes, prints the time.

It encodes all pictures and then all reports, in the job's fixed batches, and pads the last batch of each only.

python -m mcmfh.benchmarks.bulk.alone '{"encoder": "packaged", "source": null, "first": 0, "step": 1, "items": 256, …}'
"""

import json
import sys
import time
from typing import Any

import numpy as np

from mcmfh.archive.loading import load_items
from mcmfh.benchmarks.bulk.contestants import contestant
from mcmfh.config import load_config
from mcmfh.pipeline.archive import read_archive


def run(order: dict[str, Any]) -> None:
    """Encode `items` items: every `step`th one from `first` on."""
    config = load_config(order["overrides"], read_default=False)
    spec, load = contestant(order["encoder"], order["source"], order["device"])
    encoder = load()
    rows = order["first"] + order["step"] * np.arange(order["items"])
    items = read_archive(config.archive).items.take(rows)
    loaded = list(load_items(items.select(["image_uri", "report", "report_uri"]).to_pylist(), config.archive.limits))
    pixels = np.stack([spec.preprocessing(one.image) for one in loaded if one.image is not None])
    reports = [one.report for one in loaded if one.report is not None]
    size = encoder.spec.batch_size
    encoder.encode_images(pixels[:size], size)  # the first batch of any shape is slower
    encoder.encode_reports(reports[:size], size)
    print("ready", flush=True)
    sys.stdin.readline()
    begun, cpu = time.perf_counter(), time.process_time()
    encoder.encode_images(pixels, size)
    encoder.encode_reports(reports, size)
    seconds = {"seconds": time.perf_counter() - begun, "cpu": time.process_time() - cpu, "items": len(loaded)}
    print(json.dumps(seconds), flush=True)


if __name__ == "__main__":
    run(json.loads(sys.argv[1]))
