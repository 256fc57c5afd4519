"""The table of findings: every method's measures by code length, families within coarser ones, chances at the end."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from support.planted import planted_table, small

from mcmfh.benchmarks.accuracy.findings import BITS, ROWS, findings_markdown, with_rows
from mcmfh.config import load_config
from mcmfh.evaluation import evaluate
from mcmfh.hashing.settings import TrainSettings
from mcmfh.pipeline.comparison import chosen_rows, method_rows


def two_families():
    """A planted archive whose topics are findings, two of them in each of three regions."""
    table = planted_table()
    region = table.labels.reshape(len(table), 3, 2).any(2)
    names = tuple(f"finding:{i}" for i in range(6)) + tuple(f"region:{i}" for i in range(3))
    return replace(table, labels=np.concatenate([table.labels, region], 1), label_names=names)


def drawn(table, method, bits, seed):
    rng = np.random.default_rng([seed, bits])
    codes = {name: rng.integers(0, 256, (len(table), bits // 8)).astype(np.uint8) for name in ("image", "report")}
    return evaluate(codes, table, bits, method=method, seed=seed, resamples=2)


def test_a_row_a_method_and_the_chance_of_each_measure():
    table = two_families()
    evaluations = [drawn(table, method, bits, seed) for method in ("a", "b") for bits in (16, 32) for seed in (0, 1)]
    head, rule, a, b, chance = (line.strip("| ").split(" | ") for line in findings_markdown(evaluations).splitlines())
    assert head == ["any label, mean of four", "any label, unseen", "finding within region", "nDCG@10", "R@10"]
    assert (a[0], b[0], chance[0]) == ("a", "b", "chance")
    of_a = [each for each in evaluations if each.method == "a"]
    for cell, measure, where in ((a[3], "mAP@all finding within region", "unseen"), (a[5], "R@10", "own split")):
        values, sd = cell.split(" ± ")
        found = [np.mean([each.mean(measure, (where,)) for each in of_a if each.bits == bits]) for bits in (16, 32)]
        assert values == " / ".join(f"{value:.3f}" for value in found)
        assert float(sd) >= 0
    assert chance[3] == f"{evaluations[0].chance('mAP@all finding within region', ('unseen',)):.3f}"


def test_real_values_and_one_seed_have_one_number():
    table = two_families()
    vectors = {"image": table.image[:, :32], "report": table.report}
    lines = findings_markdown([evaluate(vectors, table, None, method="real", resamples=2)]).splitlines()
    assert "±" not in lines[2]
    assert "/" not in lines[2]


@pytest.mark.parametrize("settings", [TrainSettings(), small("default")])
def test_every_row_exists(settings):
    names = [row.name for row in chosen_rows(method_rows(settings), ROWS)]
    assert sum("closed form" in name for name in names) == 3
    assert sum(name.startswith("MCMFH") for name in names) == 4


def test_the_rows_and_lengths_are_settings_that_a_user_may_change():
    config = load_config(with_rows([]), read_default=False)
    assert config.train.all_bits == BITS
    assert (config.evaluate.compare, tuple(config.evaluate.rows)) == ("methods", ROWS)
    fewer = load_config(with_rows(['evaluate.rows=["closed form"]', "evaluate.compare=bits"]), read_default=False)
    assert (fewer.evaluate.compare, tuple(fewer.evaluate.rows)) == ("methods", ("closed form",))


def test_what_the_command_imports_before_ray_is_connected_does_not_import_ray():
    before = "mcmfh.benchmarks.accuracy.findings, mcmfh.benchmarks.accuracy.connection, jobs.measure"
    read = f"import sys, {before}; print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", read], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
