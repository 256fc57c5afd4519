"""Measure how good codes and statements are, on an embedded archive with labels. (jobs/benchmark.py measures speed.)

python jobs/measure.py --help       the commands: small, reliability, findings, difference, pairs
"""

import sys

from mcmfh.benchmarks.accuracy.commands import app
from mcmfh.command import guarded

if __name__ == "__main__":
    sys.exit(guarded(app))
