"""Command lines in files and in the README, parsed by the programs' own parsers: nothing is run."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
import yaml
from support.manifests import REPOSITORY

from mcmfh import cli, submission
from mcmfh.command import parse
from mcmfh.config import Config, load_config
from mcmfh.errors import InputError

# What the files below cluster/ use and the code does not have yet. tests/cluster/test_command_lines.py fails on what
# has come, so that this list ends empty.
PENDING_KEYS: set[str] = set()

WRITTEN = re.compile(r"`(mcmfh [^`]+)`")  # commands within a sentence


def fault(command: str, config_file: Callable[[str], Path] = Path) -> str | None:
    """Why `command` would be refused by the program that it names; None where it would be accepted.

    config_file: where the file lies here that the command knows by another path.
    """
    words = shlex.split(command, comments=True)
    if not words:
        return None
    program, arguments = Path(words[0]).name, words[1:]
    try:
        if program == "python" and arguments[0].endswith(".py"):
            _parse_job(arguments, config_file)
        elif program == "mcmfh":
            _parse_mcmfh(arguments, config_file)
        elif program == "ray":
            from ray.scripts.scripts import cli as ray_cli

            _parse_click(ray_cli, arguments)
    except Exception as error:
        # Ray speaks through click, Typer through a click of its own: their errors have this method in common.
        said = getattr(error, "format_message", None)
        if said is None and not isinstance(error, InputError):
            raise
        return f"{command}: {said() if said else error}"
    return None


def load_site_config(path: Path, overrides: list[str], folder: Path) -> Config:
    """`path` without the keys that are still pending, read by the configuration's own loader."""
    (folder / "ray_config.yaml").write_text(yaml.safe_dump(without_pending(path)))
    return load_config(overrides, str(folder / "ray_config.yaml"))


def without_pending(path: Path) -> dict[str, Any]:
    """The values in a site's ray_config.yaml, without the keys that are still pending."""
    values: dict[str, Any] = yaml.safe_load(path.read_text())
    for section, key in (pending.split(".") for pending in PENDING_KEYS):
        values.get(section, {}).pop(key, None)
    return values


def documented(text: str) -> list[str]:
    """The commands of a Markdown text: lines of fenced blocks, and `mcmfh …` within sentences."""
    parts = text.split("```")
    fenced = [line for block in parts[1::2] for line in block.splitlines()[1:] if line.strip()]
    return fenced + [command for prose in parts[0::2] for command in WRITTEN.findall(prose)]


def _parse_job(words: list[str], config_file: Callable[[str], Path]) -> None:
    script, *arguments = words
    name = script.removeprefix("/opt/mcmfh/")
    if not (REPOSITORY / name).is_file():
        raise InputError(f"there is no {name}")
    parse([str(config_file(word)) if word.startswith("/etc/mcmfh/") else word for word in arguments], "")


def _parse_mcmfh(words: list[str], config_file: Callable[[str], Path]) -> None:
    context = _parse_click(typer.main.get_command(cli.app), words)
    if context.command.name == "submit":
        job, overrides = context.params["job"], context.params["overrides"] or []
        if job not in submission.JOBS:
            raise InputError(f"there is no job '{job}'")
        _parse_job([f"jobs/{submission.JOBS[job]}", *overrides], config_file)


def _parse_click(command: Any, words: list[str]) -> Any:
    """The context of the innermost command that `words` name. Typer has a click of its own; the two behave alike."""
    context = command.make_context(command.name, list(words))
    while hasattr(context.command, "resolve_command"):
        rest = [*context._protected_args, *context.args]
        name, inner, rest = context.command.resolve_command(context, rest)
        assert inner is not None
        context = inner.make_context(name, rest, parent=context)
    return context
