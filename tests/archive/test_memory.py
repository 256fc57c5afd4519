"""The memory that all decoders of a process share."""

import io
import threading

import numpy as np
import pytest
import tifffile
from support.dicom_file import dicom

from mcmfh.archive.images import DecodeError, Limits, decode_picture
from mcmfh.archive.memory import MemoryBudget


def test_what_does_not_fit_waits_for_what_is_held():
    budget, started, done = MemoryBudget(100), threading.Event(), threading.Event()

    def wait_for_it() -> None:
        started.set()
        with budget.reserve(60):
            done.set()

    with budget.reserve(50):
        thread = threading.Thread(target=wait_for_it)
        thread.start()
        started.wait(10)
        assert not done.wait(0.05)
    assert done.wait(10)
    thread.join(10)


def test_a_picture_larger_than_the_budget_is_decoded_alone():
    budget = MemoryBudget(100)
    with budget.reserve(10_000):
        pass
    with budget.reserve(100):
        pass


@pytest.mark.parametrize(
    ("samples", "dtype", "fits"),
    [(4, "float64", False), (3, "uint32", False), (1, "float32", True), (1, "uint16", True)],
)
def test_a_picture_may_not_take_more_memory_than_the_pixels_of_the_limit(samples, dtype, fits):
    """A file of 360 KB would take 1.2 GB at its peak, four times of what so many pixels of WebP take."""
    side = 3400
    pixels = np.zeros((side, side, samples) if samples > 1 else (side, side), dtype)
    pixels[::7, 3] = 1
    sink = io.BytesIO()
    kind = "rgb" if samples > 1 else "minisblack"
    tifffile.imwrite(sink, pixels, compression="zlib", photometric=kind, rowsperstrip=side)
    limits = Limits(max_pixels=side * side)
    if fits:
        assert decode_picture(sink.getvalue(), limits).pixels.shape == (side, side)
    else:
        with pytest.raises(DecodeError, match="more memory"):
            decode_picture(sink.getvalue(), limits)


def test_what_fails_gives_its_memory_back():
    budget = MemoryBudget(100)
    with pytest.raises(ZeroDivisionError), budget.reserve(100):
        raise ZeroDivisionError
    with budget.reserve(100):
        pass


def test_no_two_pictures_are_decoded_that_do_not_fit_together():
    held, most = [0], [0]

    class Watched(MemoryBudget):
        def reserve(self, estimate):
            return self._watched(super().reserve(estimate), estimate)

        def _watched(self, inner, estimate):
            class Watch:
                def __enter__(self):
                    inner.__enter__()
                    held[0] += estimate
                    most[0] = max(most[0], held[0])

                def __exit__(self, *error):
                    held[0] -= estimate
                    return inner.__exit__(*error)

            return Watch()

    stored = np.arange(512 * 512, dtype=np.uint16).reshape(512, 512)
    data = dicom(stored, WindowCenter=100, WindowWidth=5000)
    budget = Watched(3_500_000)  # two of 1.6 MB each
    threads = [threading.Thread(target=decode_picture, args=(data, Limits(), budget)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert 0 < most[0] <= 3_500_000
