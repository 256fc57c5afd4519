"""The embedding job against its encoder alone: `python jobs/benchmark.py bulk`."""

from mcmfh.benchmarks.bulk.report import write_report
from mcmfh.benchmarks.bulk.suite import PARTS, run_part

__all__ = ["PARTS", "run_part", "write_report"]
