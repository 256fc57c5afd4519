"""Item order: keys are sha256's first bytes, by either way of computing them; ranges cover the key space once."""

import hashlib
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcmfh.snapshots.order import KeyRange, in_order, key_ranges, keys, named_range
from mcmfh.snapshots.sha256_heads import heads


def plain(item: str) -> int:
    return int.from_bytes(hashlib.sha256(item.encode()).digest()[:8], "big")


@settings(deadline=None, max_examples=40)  # the first call compiles
@given(st.lists(st.text(max_size=200), max_size=30))
def test_compiled_keys_equal_hashlib(items):
    data = [item.encode() for item in items]
    starts = np.cumsum([0, *map(len, data)], dtype=np.int64)
    assert heads(np.frombuffer(b"".join(data), np.uint8), starts).tolist() == [plain(item) for item in items]


def test_lengths_around_the_block_size():
    items = pa.array(["x" * length for length in range(140)] * 200)  # enough to be compiled
    expected = [plain("x" * length) for length in range(140)] * 200
    assert keys(items).tolist() == expected
    assert keys(pa.chunked_array([items[3:9], items[7:]])).tolist() == [*expected[3:9], *expected[7:]]


def test_items_stand_in_the_order_of_their_hashes():
    names = [f"item {n}" for n in range(500)]
    ordered = in_order(pa.table({"item_id": names}))["item_id"].to_pylist()
    assert ordered == sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())


@pytest.mark.parametrize(("rows", "count"), [(1, 1), (1000, 1), (1001, 2), (10**6, 1024)])
def test_ranges_cover_the_key_space_once(rows, count):
    ranges = key_ranges(rows, 1000)
    assert len(ranges) == count
    assert (ranges[0].first, ranges[-1].last) == (0, 2**64 - 1)
    assert all(left.last + 1 == right.first for left, right in pairwise(ranges))
    assert all(named_range(f"{one}-abc") == one for one in ranges)
    assert named_range("abc") == KeyRange()
