"""Hundreds of hostile files: each a reason or, where the damage spared it, a picture; no crash, bounded memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.hostile_files import LIMITS, hostile_files

from mcmfh.archive.images import DecodeError, decode_image
from mcmfh.archive.loading import load_items


@pytest.mark.parametrize(
    ("seed", "count"), [(0, 500), *(pytest.param(seed, 5000, marks=pytest.mark.slow) for seed in range(1, 5))]
)
def test_a_process_survives_them_in_bounded_memory(seed, count):
    script = Path(__file__).parents[1] / "support" / "hostile_files.py"
    run = subprocess.run(
        [sys.executable, "-W", "ignore", script, str(seed), str(count)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    result = json.loads(run.stdout.splitlines()[-1])
    assert sum(result["found"].values()) == 2 * count  # as an image and as a report
    assert len(result["found"]) > 8
    # A picture of 4 million pixels in floats, the most that the limits allow, and what the codecs hold.
    assert result["peak_mb"] < 150


def test_what_is_refused_is_refused_by_loading_too(tmp_path):
    files = list(hostile_files(7, 120))
    expected = []
    for number, data in enumerate(files):
        (tmp_path / f"{number}.bin").write_bytes(data)
        try:
            decode_image(data, LIMITS)
            expected.append(None)
        except DecodeError as error:
            expected.append(str(error))
    items = [{"image_uri": str(tmp_path / f"{number}.bin")} for number in range(len(files))]
    loaded = list(load_items(items, LIMITS, threads=4))
    assert [one.reason for one in loaded] == expected
    assert all((one.image is None) == (one.reason is not None) for one in loaded)
    assert sum(reason is not None for reason in expected) > 60
