"""The figures of the bulk benchmark: rates without first units, processes with their children, bars in the table."""

import os
import sys
import tarfile

import pytest
from PIL import Image

from mcmfh.archive.roots import inside
from mcmfh.benchmarks.bulk import archives
from mcmfh.benchmarks.bulk.peer import SHARDS, write_shards
from mcmfh.benchmarks.bulk.processes import run_watched
from mcmfh.benchmarks.bulk.report import write_report
from mcmfh.benchmarks.bulk.suite import by_worker, run_part
from mcmfh.config import load_config
from mcmfh.errors import InputError


def test_the_rate_of_a_worker_begins_after_its_first_unit():
    def unit(worker, began, ended):
        return {"worker": worker, "began": began, "ended": ended, "rows": 10}

    units = [unit(1, 0, 9), unit(2, 3, 7), unit(1, 9, 11), unit(1, 11, 14), unit(3, 0, 1)]
    assert by_worker(units) == {1: (0, 14, 4.0)}  # those that did one unit only have no rate


def test_children_are_counted():
    burn = "import time; start = time.process_time()\nwhile time.process_time() < start + 0.5: b = bytes(1 << 20)"
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}]); print('said')"
    output, usage = run_watched([sys.executable, "-c", script], dict(os.environ), interval=0.02)
    assert output == "said\n"
    assert usage.seconds[-1] >= 0.4
    assert usage.seconds == sorted(usage.seconds)
    assert usage.memory["driver"] > 1


def test_the_table_states_bars_and_figures(tmp_path):
    rounds = [{"job": 9.0, "alone": 10.0, "cpu_job": 0.11, "cpu_alone": 0.1, "startup": 12.0}]
    write_report({"part": "packaged", "workers": 1, "items": 40, "rounds": rounds}, tmp_path)
    sizes = {n: {"startup": 11.0, "memory": {"driver": m}} for n, m in ((2000, 100.0), (20000, 105.0))}
    table = write_report({"part": "trivial", "workers": 2, "sizes": sizes, "cpu_ms_an_image": 1.0}, tmp_path)
    assert "| packaged, 1 workers, 40 items: job / encoder alone | 90.0% (90%) | ≥ 90 % |" in table
    assert "105 MiB, × 1.05" in table
    rounds = [{who: {"seconds": s, "CPU-seconds": 2 * s} for who, s in (("job", 30.0), ("rival", 60.0))}]
    table = write_report({"part": "clip-retrieval", "workers": 2, "items": 5120, "rounds": rounds}, tmp_path)
    assert "5120 items: seconds of the whole job, of clip-retrieval's | 30, 60: 0.50 × | < 1 × |" in table


@pytest.mark.parametrize(("part", "culprit"), [("all", "'all' is not known"), ("trivial", "needs --manifest")])
def test_what_is_missing_is_named(part, culprit):
    with pytest.raises(InputError, match=culprit):
        run_part(part, None, 1, 2, 1, None, None, print)


def test_a_webdataset_holds_what_the_manifest_lists(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "a.jpg")
    reports = ["No effusion.", "Fracture.", "Ärmel."]
    rows = "".join(f"{number},a.jpg,{report}\n" for number, report in enumerate(reports))
    (tmp_path / "m.csv").write_text(f"item_id,image_uri,report\n{rows}")
    assert write_shards(f"{tmp_path}/m.csv", tmp_path) == f"{tmp_path}/items-{{0..{SHARDS - 1}}}.tar"
    held = {}
    for shard in range(SHARDS):
        with tarfile.open(tmp_path / f"items-{shard}.tar") as tar:
            held |= {entry.name: tar.extractfile(entry).read() for entry in tar}
    assert held == {f"00000000{n}.txt": report.encode() for n, report in enumerate(reports)} | {
        f"00000000{n}.jpg": (tmp_path / "a.jpg").read_bytes() for n in range(3)
    }
    Image.new("L", (8, 8)).save(tmp_path / "a.jpg", format="png")
    with pytest.raises(InputError, match="JPEG"):
        write_shards(f"{tmp_path}/m.csv", tmp_path)


def test_the_job_may_read_what_the_benchmark_s_manifest_lists(tmp_path):
    """Wherever the pictures of the given manifest lie, the job of the benchmark reads them."""
    given = tmp_path / "given" / "manifest.csv"
    given.parent.mkdir()
    given.write_text(f"item_id,image_uri\na,{tmp_path}/elsewhere/a.png\nb,b.png\n")
    copy = archives.some_rows(str(given), 4, f"{tmp_path}/copy/items.parquet")
    allowed = load_config(archives.archive_settings(copy), read_default=False).archive.allowed_roots
    listed = [f"file://{tmp_path}/elsewhere/a.png", f"file://{given.parent}/b.png"]
    assert [inside(uri, allowed) for uri in (*listed, "file:///etc/passwd")] == [True, True, False]
