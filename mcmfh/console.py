"""The progress of a job on a terminal: one line with a bar for each stage."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


@contextmanager
def stage_bar(stage: str, console: Console | None = None) -> Iterator[Callable[[int, int], None]]:
    """Show a bar named `stage` during the block.

    Yields a function of (items done, items in all); a stage without a count need not call it.
    """
    columns = (
        TextColumn("{task.description:<9}"),
        BarColumn(30),
        TimeElapsedColumn(),
        TextColumn("{task.fields[count]}"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(stage, total=None, count="")

        def advance(done: int, total: int) -> None:
            elapsed = bar.tasks[task].elapsed
            rate = f", {done / elapsed:.0f}/s" if elapsed else ""
            bar.update(task, completed=done, total=total, count=f"{done:,}/{total:,}{rate}")

        yield advance
        total = bar.tasks[task].total or 1
        bar.update(task, completed=total, total=total)
