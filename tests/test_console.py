"""What a job says where there is no terminal, and that what is printed stands as it is."""

import io
import re
import runpy
import threading
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer
from click.testing import CliRunner
from rich.console import Console
from rich.table import Table

from mcmfh.console import duration, stage_bar, terminal
from mcmfh.evaluation.tables import HEADLINE

REPOSITORY = Path(__file__).parents[1]


class Looks:
    """A `waiting` that gives `sentences` one after another, then the last for ever; `wait` waits for so many looks."""

    def __init__(self, *sentences: str | None):
        self.sentences, self.stalled, self.enough = sentences, [], threading.Semaphore(0)

    def __call__(self, stalled: bool) -> str | None:
        self.stalled.append(stalled)
        self.enough.release()
        return self.sentences[min(len(self.stalled), len(self.sentences)) - 1]

    def wait(self, looks: int) -> None:
        for _ in range(looks):
            assert self.enough.acquire(timeout=30)


def said(capsys) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_a_line_says_how_far_a_stage_is(capsys):
    looks = Looks(None)
    with stage_bar("embed", Console(file=io.StringIO()), looks, line_s=0.03) as advance:
        looks.wait(4)
        advance(300, 1200, 2)
        looks.wait(4)
    first, *_, last = said(capsys)
    assert re.fullmatch(r"embed: \d+ s", first)
    assert re.fullmatch(r"embed: 300 of 1,200, [\d.e+]+/s, .+ left, 2 failed", last)


def test_a_stage_ends_with_its_counts(capsys):
    with stage_bar("embed", Console(file=io.StringIO())) as advance:
        advance(1200, 1200)
    (line,) = said(capsys)
    assert re.fullmatch(r"embed: 1,200 of 1,200, .+/s, \d+ s in all, 0 failed", line)


def test_what_a_stage_waits_for_is_said_once_it_has_lasted(capsys):
    looks = Looks(None, "waits for a GPU", None, "waits for a CPU", "waits for a CPU", "waits for a CPU")
    with stage_bar("embed", Console(file=io.StringIO()), looks, line_s=0.03):
        looks.wait(7)
    lines = said(capsys)
    assert "embed: waits for a CPU" in lines
    assert not [line for line in lines if "GPU" in line]


def test_a_stage_that_advances_is_not_stalled():
    looks = Looks(None)
    with stage_bar("embed", Console(file=io.StringIO()), looks, line_s=0.03) as advance:
        looks.wait(2)
        for done in range(2000):
            advance(done, 2000)
        looks.wait(3)
    assert looks.stalled[0]
    assert not all(looks.stalled)


def test_on_a_terminal_there_is_a_bar_and_no_line(capsys):
    screen = io.StringIO()
    with stage_bar("embed", Console(file=screen, force_terminal=True), Looks(None), line_s=0.03) as advance:
        advance(3, 4, 1)
    assert "3/4" in screen.getvalue()
    assert said(capsys) == []


@pytest.mark.parametrize(("seconds", "text"), [(5.4, "5 s"), (184, "3 min 04 s"), (3725, "1 h 02 min")])
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_brackets_and_colons_are_printed(capsys):
    table = Table("mAP of [find]", title=HEADLINE, caption="page: /stores/[old]/:lungs:/[/b]")
    table.add_row(f"organ [upper] {'-' * 120}")
    terminal(200).print(table)
    terminal(200).print('curl -d \'{"report": "[redacted] lung"}\'')
    said = capsys.readouterr().out
    for text in ("mAP of [find]", "[permutation null]", "/[old]/:lungs:/[/b]", "organ [upper]", "[redacted] lung"):
        assert text in said


def test_programs_print_by_terminal_alone():
    sources = [*(REPOSITORY / "mcmfh").rglob("*.py"), *(REPOSITORY / "jobs").glob("*.py")]
    assert [path.name for path in sources if re.search(r"\bConsole\(", path.read_text())] == ["console.py"]


def commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, f"{path} {name}")


@pytest.mark.parametrize(
    "program", ["mcmfh/cli/__init__.py", *(f"jobs/{n}.py" for n in ("measure", "stress", "benchmark"))]
)
def test_help_shows_what_is_in_brackets(program):
    app = runpy.run_path(str(REPOSITORY / program))["app"]
    for path, command in commands(typer.main.get_command(app), program):
        shown = CliRunner().invoke(command, ["--help"], env={"COLUMNS": "200"}).output
        for text in [command.help, *(getattr(option, "help", None) for option in command.params)]:
            for bracketed in re.findall(r"\[[^\]\s]+\]", (text or "").replace("\\[", "[")):
                assert bracketed in shown, path
