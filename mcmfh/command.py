"""The command line that all jobs share: it parses overrides, and reports a user's mistake in one line, exit code 2.

python jobs/train.py [--config FILE] [section.key=value …]
"""

import logging
import os
import sys
from collections.abc import Callable, Sequence

from mcmfh.config import Config, load_config
from mcmfh.errors import InputError


def run_job(main: Callable[[Config], None], arguments: Sequence[str] | None = None) -> None:
    """Parse the command line of a job, call `main` and exit: 0 done, 1 a program fault, 2 an input fault."""
    sys.exit(guarded(lambda: main(parse(sys.argv[1:] if arguments is None else arguments, main.__doc__ or ""))))


def parse(arguments: Sequence[str], usage: str) -> Config:
    """`--config FILE` and dotted overrides → Config; `--help` prints `usage`. Raises InputError."""
    rest = list(arguments)
    if "-h" in rest or "--help" in rest:
        print(f"{usage.strip()}\n\n[--config FILE] [section.key=value …]; all keys: ray_config.yaml")
        raise SystemExit(0)
    path = None
    if "--config" in rest:
        at = rest.index("--config")
        if at + 1 == len(rest):
            raise InputError("--config needs the path of a ray_config.yaml after it")
        path = rest[at + 1]
        del rest[at : at + 2]
    return load_config(rest, path)


def guarded(call: Callable[[], None]) -> int:
    """The exit code of `call`; an InputError becomes one line on stderr and 2.

    What the command and the processes that it starts write, its owner alone may read.
    """
    os.umask(0o077)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        call()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
