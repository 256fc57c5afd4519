"""What a job shows on a terminal: one progress line a stage."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


@contextmanager
def unit_progress(stage: str, console: Console | None = None) -> Iterator[Callable[[int, int], None]]:
    """A bar named `stage`; call what it yields with (items done, items in all)."""
    columns = (
        TextColumn("{task.description:<9}"),
        BarColumn(30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(stage, total=None, rate="")

        def advance(done: int, total: int) -> None:
            elapsed = bar.tasks[task].elapsed
            bar.update(task, completed=done, total=total, rate=f"{done / elapsed:.0f}/s" if elapsed else "")

        yield advance
        bar.update(task, total=bar.tasks[task].total or 1, completed=bar.tasks[task].total or 1)
