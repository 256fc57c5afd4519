"""The endpoint measured: `python jobs/benchmark.py serve`."""
