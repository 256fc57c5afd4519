"""The measuring of training, run on a tiny table: that it measures, not what."""

import numpy as np
import pytest


@pytest.mark.slow
def test_loop_and_steps_are_measured(cluster):
    from mcmfh.benchmarks.training import ROUNDS, correlated_table, measure_training

    table = correlated_table(800)
    assert len(table) == 900
    assert np.isfinite(table.image).all()
    found = measure_training(pairs=800, bits=(16,))
    assert found["loop"] > 0
    assert found["ratio"] == pytest.approx(found["step"]["ray"] / found["step"]["plain"])
    assert ROUNDS >= 3
