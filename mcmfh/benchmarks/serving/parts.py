"""The measurements of the endpoint by name."""

from collections.abc import Callable

from mcmfh.benchmarks.serving.access import run_access
from mcmfh.benchmarks.serving.report import table
from mcmfh.benchmarks.serving.suite import run_serving
from mcmfh.errors import InputError


def run_part(part: str, items: int, rounds: int, seconds: float, say: Callable[[str], None], reports: bool) -> str:
    """A table of the part "peers" or "access", for an archive of `items`. Raises InputError for another part."""
    if part == "access":
        return run_access(items, rounds, seconds, say)
    if part == "peers":
        return table(items, run_serving(items, rounds, seconds, say, reports))
    raise InputError(f"part '{part}' is not known; use peers or access")
