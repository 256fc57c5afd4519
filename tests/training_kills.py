"""Trainings that die halfway: by an exception in a step, and by SIGKILL of one of Ray's workers."""

import os
import signal
import time
from contextlib import contextmanager
from pathlib import Path

import pytest


class Killed(Exception):
    pass


@contextmanager
def killed_at_step(monkeypatch, fitting, number: int):
    """In the block, which must not survive it, the `number`-th call of `fitting.train_step` raises."""
    step, steps = fitting.train_step, []

    def killed(*arguments):
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
    titles = {int(path.parent.name): path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline")}
    workers = [pid for pid, title in titles.items() if b"RayTrainWorker" in title and _is_ours(pid)]
    assert workers
    os.kill(workers[0], signal.SIGKILL)


def _is_ours(pid: int) -> bool:
    """Whether this process is among the ancestors of `pid`."""
    while pid > 1 and pid != os.getpid():
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return pid == os.getpid()
