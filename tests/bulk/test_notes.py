"""The embedding report counts the pictures whose window shows nothing, in the run that decodes them and later."""

import numpy as np
import pytest
from support import chaos_jobs
from support.bulk_job import SPEC
from support.dicom_file import dicom
from support.unit_steps import Steps

from mcmfh.archive.picture import WINDOW_SHOWS_NOTHING
from mcmfh.pipeline.embed import Embedded
from mcmfh.store import files

RAMP = (np.arange(64 * 64, dtype=np.uint16) % 4000).reshape(64, 64)


@pytest.fixture
def manifest(tmp_path) -> str:
    """Two pictures whose window lies beside their values, one that shows them, and a report."""
    root = f"file://{tmp_path}/archive"
    for name, centre in (("low", -9000), ("high", 60000), ("good", 2000)):
        files.create(files.join(root, f"{name}.dcm"), dicom(RAMP, WindowCenter=centre, WindowWidth=4000))
    rows = [{"item_id": name, "image_uri": f"{name}.dcm", "report": ""} for name in ("low", "high", "good")]
    rows.append({"item_id": "report", "image_uri": "", "report": "No pleural effusion. The heart is not enlarged."})
    return chaos_jobs.write_manifest(root, rows)


def test_windows_that_show_nothing_are_counted(new_job, manifest, tmp_path):
    embed = Steps(new_job(), tmp_path / "scratch")
    assert embed(manifest) == (3, 1)
    assert (embed.noted, embed.noted_before) == (2, 0)
    assert embed(manifest) == (0, 0)
    assert (embed.noted, embed.noted_before) == (0, 2)


def test_the_report_says_so():
    done = Embedded(SPEC, inputs=9, encoded=4, reused=2, failed=1, kept=2, window_shows_nothing=2)
    first, encoder, nothing = done.lines()
    assert first == "embedded 4, kept 2 that come out as before, reused 2, failed 1, of 9 inputs"
    assert nothing.startswith(f"2 × {WINDOW_SHOWS_NOTHING}")
    assert len(list(Embedded(SPEC, 9, 8, 0, 1).lines())) == 2
