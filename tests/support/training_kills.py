"""Trainings that die halfway: by an exception in a step, and by SIGKILL of one of Ray's workers."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mcmfh.processes import below, command_line


class Killed(Exception):
    pass


@contextmanager
def killed_at_step(monkeypatch: pytest.MonkeyPatch, fitting: Any, number: int) -> Iterator[None]:
    """In the block, which must not survive it, the `number`-th call of `fitting.train_step` raises."""
    step = fitting.train_step
    steps: list[int] = []

    def killed(*arguments: Any) -> Any:
        steps.append(1)
        if len(steps) == number:
            raise Killed
        return step(*arguments)

    monkeypatch.setattr(fitting, "train_step", killed)
    with pytest.raises(Killed):
        yield
    monkeypatch.setattr(fitting, "train_step", step)


def kill_a_worker_after(checkpoint: Path) -> None:
    """SIGKILL one training process of this test's Ray as soon as the folder `checkpoint` exists."""
    while not checkpoint.exists():
        time.sleep(0.02)
    os.kill(next(pid for pid in below(os.getpid()) if "RayTrainWorker" in command_line(pid)), signal.SIGKILL)
