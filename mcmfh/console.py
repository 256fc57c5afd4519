"""The progress of a job: a bar for each stage on a terminal; elsewhere, as in a job's log, a plain line every 30 s."""

import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mcmfh.errors import InputError

LINE_S = 30.0
# (whether nothing has been done since the last look) → what the stage waits for, as a sentence; None: nothing.
Waiting = Callable[[bool], str | None]
Tell = Callable[[str], Any]


class Advance(Protocol):
    """Takes what is done of a stage, in items of its own kind: `failed` of the `done`, of `total`."""

    def __call__(self, done: int, total: int, failed: int = 0) -> None: ...


def terminal(width: int | None = None) -> Console:
    """Where commands print. A text stands as it is: brackets and colons in it are no markup of rich's."""
    return Console(width=width, markup=False, emoji=False)


@contextmanager
def stage_bar(
    stage: str,
    console: Console | None = None,
    waiting: Waiting | None = None,
    observe: Advance | None = None,
    line_s: float = LINE_S,
) -> Iterator[Advance]:
    """Show the progress of `stage` during the block.

    Yields an Advance; a stage without a count need not call it. waiting: is asked every line_s / 3 seconds; its
    sentence is printed as soon as it has been given twice, and then every `line_s`. observe: is told the same counts.
    """
    console = console or terminal()
    with _bar(stage, console) if console.is_terminal else nullcontext() as bar:
        tell: Tell = console.print if console.is_terminal else _line
        log = _Log(stage, tell, waiting, line_s, lines=not console.is_terminal)
        end = threading.Event()
        looking = threading.Thread(target=log.until, args=(end,), daemon=True)
        looking.start()

        def advance(done: int, total: int, failed: int = 0) -> None:
            log.advance(done, total, failed)
            for each in (bar, observe):
                if each:
                    each(done, total, failed)

        try:
            yield advance
        finally:
            end.set()
            looking.join()
        if not console.is_terminal:
            tell(log.line())


@contextmanager
def _bar(stage: str, console: Console) -> Iterator[Advance]:
    columns = (
        TextColumn("{task.description:<9}"),
        BarColumn(30),
        TimeElapsedColumn(),
        TextColumn("{task.fields[count]}"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(stage, total=None, count="")

        def advance(done: int, total: int, failed: int = 0) -> None:
            elapsed = bar.tasks[task].elapsed
            rate = f", {done / elapsed:.0f}/s" if elapsed else ""
            lost = f", {failed:,} failed" if failed else ""
            bar.update(task, completed=done, total=total, count=f"{done:,}/{total:,}{rate}{lost}")

        yield advance
        total = bar.tasks[task].total or 1
        bar.update(task, completed=total, total=total)


@dataclass
class _Log:
    """The counts of a stage, and what is said of them."""

    stage: str
    tell: Tell
    waiting: Waiting | None
    line_s: float
    lines: bool  # also say how far the stage is
    counts: tuple[int, int, int] | None = None
    began: float = field(default_factory=time.monotonic)

    def advance(self, done: int, total: int, failed: int) -> None:
        self.counts = done, total, failed

    def until(self, end: threading.Event) -> None:
        """Look three times a line, until `end` is set."""
        looks, given, said, before = 0, None, None, self.counts
        while not end.wait(self.line_s / 3):
            looks += 1
            sentence = self.waiting(self.counts == before) if self.waiting else None
            before = self.counts
            due = looks % 3 == 0
            if due and self.lines:
                self.tell(self.line())
            if sentence and sentence == given and (due or sentence != said):
                self.tell(f"{self.stage}: {sentence}")
                said = sentence
            given = sentence

    def line(self) -> str:
        elapsed = time.monotonic() - self.began
        if self.counts is None:
            return f"{self.stage}: {duration(elapsed)}"
        done, total, failed = self.counts
        rate = done / elapsed
        left = f"{duration((total - done) / rate)} left" if 0 < done < total else f"{duration(elapsed)} in all"
        return f"{self.stage}: {done:,} of {total:,}, {rate:.3g}/s, {left}, {failed:,} failed"


def duration(seconds: float) -> str:
    """1 h 02 min, 3 min 04 s or 5 s."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole // 60 % 60:02} min"
    return f"{whole // 60} min {whole % 60:02} s" if whole >= 60 else f"{whole} s"


def _line(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextmanager
def quiet_core() -> Iterator[None]:
    """Hide what is written to standard error in the block, by C libraries too.

    On an exception other than InputError it is printed after all.
    """
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as output:
        os.dup2(output.fileno(), 2)
        try:
            yield
        except InputError:
            raise
        except BaseException:
            output.seek(0)
            os.write(terminal, output.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
