"""Item order is that of sha256(item_id), and ranges cover the key space once."""

import hashlib
from itertools import pairwise

import pyarrow as pa
import pytest

from mcmfh.archive.order import KeyRange, in_order, key_ranges, named_range


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
