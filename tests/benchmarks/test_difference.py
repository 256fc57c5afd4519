"""Two recipes on the same queries: what is bootstrapped is the headline, query by query."""

import re

import numpy as np
import pytest
from support.planted import planted_table, small

from mcmfh.benchmarks.accuracy.difference import measure_difference, precision_of_queries
from mcmfh.benchmarks.accuracy.training import trained_coder
from mcmfh.evaluation import evaluate
from mcmfh.hashing.codes import pack_codes


def codes_of(table, settings):
    coder = trained_coder(table, settings)
    return {name: pack_codes(of[16]) for name, of in coder.all_logits(table.image, table.report).items()}


@pytest.mark.parametrize("query_split", ["test", "validation"])
@pytest.mark.parametrize("pictures", [1, 3])
def test_the_mean_over_queries_is_the_mean_of_four(pictures, query_split):
    table = planted_table(pictures=pictures)
    codes = codes_of(table, small("itq"))
    values = precision_of_queries(codes, table, 16, query_split)
    assert values.shape == ((table.split == query_split).sum(),)
    whole = evaluate(codes, table, 16, query_split=query_split, resamples=2, permutations=0)
    assert values.mean() == pytest.approx(whole.mean(), abs=1e-12)


def said(table, recipes):
    lines = []
    measure_difference(table, recipes, seeds=2, say=lines.append)
    return [[float(number) for number in re.findall(r"[-+]?\d*\.\d+", line)] for line in lines[:-1]], lines[-1]


def test_a_recipe_does_not_differ_from_itself():
    by_bits, _ = said(planted_table(), (small("itq"), small("itq")))
    assert [numbers[-3:] for numbers in by_bits] == [[0, 0, 0]] * 2
    assert all(numbers[:2] == numbers[2:4] for numbers in by_bits)


def test_learning_beats_not_learning_beyond_the_interval_and_the_other_way_round():
    table = planted_table()
    learnt, not_learnt = small("closed form"), small("default", epochs=1, learning_rate=1e-9)
    (gains, _), line = said(table, (learnt, not_learnt))
    (losses, _), _ = said(table, (not_learnt, learnt))
    assert "48 queries of split test, 2 seeds" in line
    assert gains[-2] > 0.05  # the low end
    assert losses[-1] < -0.05
    np.testing.assert_allclose(losses[-3], -gains[-3])
