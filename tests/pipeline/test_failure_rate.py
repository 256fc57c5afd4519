"""archive.max_failure_rate: of the whole archive, however small, in the run that reads it and in every later one."""

import re

import pytest
from support import chaos_jobs

from mcmfh.errors import InputError


def archive(tmp_path, items: int, broken: int, name: str = "chosen") -> str:
    """A manifest of pictures of which the last `broken` cannot be read."""
    folder = f"file://{tmp_path}/archive-{name}"
    rows = chaos_jobs.read_rows(chaos_jobs.write_archive(folder, items + chaos_jobs.BROKEN))[chaos_jobs.BROKEN :]
    for row in rows[items - broken :]:
        row["image_uri"] = "pictures/i00000.png"
    return chaos_jobs.write_manifest(folder, rows, name)


@pytest.mark.parametrize(("items", "broken"), [(40, 40), (1, 1), (199, 41), (10, 3)])
def test_a_small_archive_that_cannot_be_read_is_refused(new_job, tmp_path, items, broken):
    job = new_job()
    for _ in range(2):  # the second run finds the failures of the first in the store
        with pytest.raises(InputError, match=f"{broken} of {items} items cannot be read.*max_failure_rate=0.2"):
            job.run(archive(tmp_path, items, broken), "archive.max_failure_rate=0.2")
    job.run(archive(tmp_path, items, broken), "archive.max_failure_rate=1")


@pytest.mark.parametrize(("items", "broken", "rate"), [(40, 8, 0.2), (5, 1, 0.2), (3, 0, 0), (4, 4, 1)])
def test_what_the_rate_allows_is_published(new_job, tmp_path, items, broken, rate):
    done = new_job().run(archive(tmp_path, items, broken), f"archive.max_failure_rate={rate}")
    assert (done.items, done.failed) == (items - broken, broken)


def test_one_bad_item_among_few_new_ones_does_not_end_a_nightly_run(new_job, tmp_path):
    job = new_job()
    rate = "archive.max_failure_rate=0.2"
    job.run(archive(tmp_path, 40, 0), rate)
    manifest = archive(tmp_path, 42, 2, "grown")
    done = job.run(manifest, rate)
    assert (done.items, done.failed) == (40, 2)
    assert job.run(manifest, rate, "embed.retry_quarantined=true").failed == 2


def test_a_large_archive_is_given_up_before_its_end(new_job, tmp_path):
    job = new_job()
    with pytest.raises(InputError) as caught:
        job.run(archive(tmp_path, 300, 300), "archive.max_failure_rate=0.2")
    assert re.match(r"2\d\d of 2\d\d items", str(caught.value))
    assert job.encoded < 300
