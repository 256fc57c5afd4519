"""Splits by group: stable, in proportion and never through a group."""

import hashlib

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from mcmfh.archive.splits import merge_groups, split_of, with_splits


def test_split_is_sha1_modulo_100():
    for number in range(300):
        name = f"g{number}"
        bucket = int(hashlib.sha1(name.encode()).hexdigest(), 16) % 100
        assert split_of(name) == ("test" if bucket < 20 else "validation" if bucket < 30 else "train")


def test_given_splits_are_kept():
    table = pa.table({"group": ["a", "b"], "split": pa.array([None, None], pa.string())})
    assert with_splits(table)["split"].to_pylist() == [split_of("a"), split_of("b")]
    given = pa.table({"group": ["a", "b"], "split": ["train", None]})
    assert with_splits(given) is given


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=15))
def test_merging_is_reachability(pairs):
    groups = [f"g{row}" for row in range(10)]
    reach = {row: {row} for row in range(10)}
    for _ in range(10):
        for a, b in pairs:
            both = reach[a] | reach[b]
            for row in both:
                reach[row] = reach[row] | both
    assert merge_groups(groups, pairs) == [min(groups[other] for other in reach[row]) for row in range(10)]
