"""A snapshot is divided into parts of whole shards."""

from hypothesis import given
from hypothesis import strategies as st

from mcmfh.search.opening import split_shards


def test_parts_are_whole_shards_in_order_and_even():
    assert split_shards([10] * 10, 5) == [range(0, 2), range(2, 4), range(4, 6), range(6, 8), range(8, 10)]
    assert split_shards([], 3) == [range(0, 0)] * 3
    assert split_shards([1], 2)[0].stop + len(split_shards([1], 2)[1]) == 1


@given(st.lists(st.integers(0, 30), max_size=12), st.integers(1, 6))
def test_every_shard_is_in_one_part(rows, parts):
    chosen = split_shards(rows, parts)
    assert [shard for part in chosen for shard in part] == list(range(len(rows)))
    assert len(chosen) == parts
