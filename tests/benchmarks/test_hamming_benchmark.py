"""The benchmark runs whole on tiny archives: its comparisons of answers hold, its report has every table."""

import json

import pytest

pytest.importorskip("faiss")
pytest.importorskip("usearch")

from mcmfh.benchmarks.hamming import run_suite, write_report
from mcmfh.benchmarks.hamming.report import promises


@pytest.mark.slow
def test_the_whole_run_on_tiny_archives(tmp_path):
    result = run_suite([2000, 5000], say=lambda line: None, budget=0.01)
    assert len(result["checks"]) == 4 * 2 * 2 * (2 * 2 + 3)
    report = write_report(result, tmp_path)
    assert "| 64 bits, mcmfh |" in report
    assert "all identical" in report
    written = json.loads((tmp_path / "hamming.json").read_text())
    assert written["times"] == result["times"]
    assert (tmp_path / "hamming.png").stat().st_size > 10_000


def test_a_promise_is_the_ratio_of_two_rows():
    row = {"bits": 16, "kind": "uniform", "n": 10**7, "k": 10, "mode": "single", "threads": 1}
    times = [row | {"engine": "mcmfh", "seconds": 2e-6}, row | {"engine": "faiss Flat", "seconds": 2e-2}]
    (kept,) = promises({"times": times, "facts": {}})
    assert kept == {
        "what": "16 bits vs faiss Flat, 10⁷, uniform",
        "value": 1e4,
        "bar": 8000,
        "at_most": False,
        "kept": True,
    }
    times[1]["seconds"] = 2e-3
    assert not next(promises({"times": times, "facts": {}}))["kept"]
