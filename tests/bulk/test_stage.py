"""A job on a cluster says how far it is, in its log and to Prometheus."""

import re
import subprocess
import sys
import time
import urllib.request

import pytest
from support import chaos_jobs
from support.head_node import REPOSITORY, head_node

from mcmfh.processes import free_port

SERIES = re.compile(r"^ray_mcmfh_(\w+)\{(.*)\} ([\d.e+]+)$", re.MULTILINE)


@pytest.mark.cluster
def test_rows_quarantine_and_steps_are_exported_and_the_log_is_clean(tmp_path):
    manifest = chaos_jobs.write_archive(f"file://{tmp_path}/archive", 60)
    settings = [f"store=file://{tmp_path}/store", f"archive.manifest={manifest}", "cluster.address=auto"]
    settings += ["embed.unit_items=4", "archive.max_failure_rate=1", "train.workers=1", "train.batch_size=16"]
    settings += ["train.epochs=400", "train.min_steps=1", "archive.name=chest"]
    port, seen, said = free_port(), {}, ""
    often = {"RAY_metrics_report_interval_ms": "500"}
    options = [f"--metrics-export-port={port}"]
    with head_node(tmp_path, *options, light_encoder=True, CHAOS_PACE="2", **often) as environment:
        for job in ("embed", "train", "hash_archive"):
            with (tmp_path / job).open("w") as log:
                running = subprocess.Popen(
                    [sys.executable, f"jobs/{job}.py", *settings],
                    env=environment | often,
                    cwd=REPOSITORY,
                    stdout=log,
                    stderr=log,
                )
                while running.poll() is None:
                    for name, labels, value in SERIES.findall(scraped(port)):
                        given = dict(re.findall(r'(archive|stage)="(\w+)"', labels))
                        assert given["archive"] == "chest"
                        seen[given["stage"], name] = max(seen.get((given["stage"], name), 0), float(value))
                    time.sleep(0.2)
            log_text = (tmp_path / job).read_text()
            assert running.returncode == 0, log_text
            said += log_text
    assert seen["embed", "rows_total"] == 60
    assert 0 < seen["embed", "rows_done"] <= 60
    assert seen["embed", "rows_quarantined"] == chaos_jobs.BROKEN
    assert seen["train", "train_steps"] > 0
    assert re.search(rf"^embed: 60 of 60, .+, {chaos_jobs.BROKEN} failed$", said, re.MULTILINE)
    assert re.search(r"^train: ([\d,]+) of \1, ", said, re.MULTILINE)
    assert re.search(r"^hash: (\d+) of \1, ", said, re.MULTILINE)
    assert not re.search(r"core_worker|\x1b\[|^\[.* E ", said, re.MULTILINE), said


def scraped(port: int) -> str:
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
    except OSError:
        return ""
