"""The Hamming engine against faiss, usearch and numpy, in one run: `python jobs/benchmark.py hamming`."""

from mcmfh.benchmarks.hamming.report import write_report
from mcmfh.benchmarks.hamming.suite import SIZES, run_suite

__all__ = ["SIZES", "run_suite", "write_report"]
