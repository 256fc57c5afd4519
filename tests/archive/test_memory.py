"""The memory that all decoders of a process share."""

import threading

import numpy as np
import pytest
from support.dicom_file import dicom

from mcmfh.archive.images import Limits, decode_picture
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
