"""The cost of opening a snapshot, beside that of its encoder: a replica's own memory, and seconds to the first answer.

Before the measurement the encoder has run and a small archive has answered every kind of query, so that code and
libraries are loaded.
python -m mcmfh.benchmarks.serving.opening ARCHIVE SMALL_ARCHIVE
"""

import json
import os
import subprocess
import sys
import time
from itertools import product

from mcmfh.archive.images import Limits
from mcmfh.benchmarks.serving.archives import IMAGING_MODALITIES
from mcmfh.processes import anonymous_mib
from mcmfh.search.query import validated
from mcmfh.search.retrieval import Retrieval


def measure_opening(root: str, small: str) -> dict[str, float]:
    """{"seconds", "mib"} of opening and searching the archive at `root` in a process of its own, from this machine's
    cache. The archive `small` is of the same model."""
    command = [sys.executable, "-m", "mcmfh.benchmarks.serving.opening", root, small]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(2)]
    measured: dict[str, float] = json.loads(runs[-1].stdout.splitlines()[-1])
    return measured


def ask_every_kind(retrieval: Retrieval) -> None:
    """Search for every target, with and without filters on both columns, with the histogram; read an item each time."""
    for target, modality, year in product(
        ("report", "image", "study"), (None, *IMAGING_MODALITIES.tolist()), (None, 2007)
    ):
        where = {name: value for name, value in (("modality", modality), ("year", year)) if value is not None}
        query = {"code": "0305", "modality": "image", "target": target, "k": 20, "where": where, "histogram": True}
        answer = retrieval.answer(validated(query))
        assert len(answer["hits"]) == 20
        assert retrieval.item(answer["hits"][0]["item_id"])


if __name__ == "__main__":
    large, small = sys.argv[1:]
    warm = Retrieval(small, Limits())
    warm.answer(validated({"report": "No acute findings."}))
    ask_every_kind(warm)
    before, start = anonymous_mib(os.getpid()), time.perf_counter()
    retrieval = Retrieval(large, Limits(), bundles=[warm.bundle])
    retrieval.answer(validated({"code": "0305", "modality": "image"}))
    seconds = time.perf_counter() - start
    ask_every_kind(retrieval)
    print(json.dumps({"seconds": seconds, "mib": anonymous_mib(os.getpid()) - before}))
