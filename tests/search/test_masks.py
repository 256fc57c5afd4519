"""`where` admits the rows that a plain loop admits; masks used recently are kept, within bounds."""

import threading

import numpy as np
import pyarrow as pa
import pytest
from support.snapshot_rows import publish_rows, rows

from mcmfh.errors import InputError
from mcmfh.search.masks import MOST_MASKS, MaskCache, _passing, _test
from mcmfh.search.opening import open_snapshot

NAMES = [f"i{n}" for n in range(1, 51)]


def test_masks_are_remembered_within_bounds():
    cache, computed = MaskCache(max_bytes=20), []

    def ask(name, size=8):
        return cache.get((name,), lambda: computed.append(name) or np.ones(size, bool))

    for name in ("a", "b", "a", "c", "a", "b"):
        ask(name)
    assert computed == ["a", "b", "c", "b"]  # c drove out b, the one used longest ago
    ask("large", 100)
    assert len(cache.masks) == 1


def test_conditions_of_every_kind(tmp_path):
    """Dates, dictionary columns, missing values, infinities, empty lists: against plain Python."""
    table = rows(NAMES[:50])
    days = [None if n % 7 == 0 else f"2020-01-{1 + n % 28:02d}" for n in range(50)]
    table = table.set_column(table.column_names.index("year"), "year", pa.array(days).cast(pa.date32()))
    modality = table["modality"].combine_chunks()
    table = table.set_column(table.column_names.index("modality"), "modality", modality.dictionary_encode())
    publish_rows(f"file://{tmp_path}/a", table)
    snapshot = open_snapshot(f"file://{tmp_path}/a", cache=str(tmp_path / "cache"))
    values = list(zip(modality.to_pylist(), days))
    for where, passes in [
        ({"year": "2020-01-05"}, lambda m, d: d == "2020-01-05"),
        ({"year": {"min": "2020-01-05", "max": "2020-01-20"}}, lambda m, d: d and "2020-01-05" <= d <= "2020-01-20"),
        ({"year": ["2020-01-05", "2020-01-06"]}, lambda m, d: d in ("2020-01-05", "2020-01-06")),
        ({"modality": "CT", "year": {"max": "2020-01-20"}}, lambda m, d: m == "CT" and d and d <= "2020-01-20"),
        ({"modality": ["MR", "XX"]}, lambda m, d: m == "MR"),
        ({"modality": []}, lambda m, d: False),
        ({"modality": ["CT", None, "CT"]}, lambda m, d: m == "CT"),
        ({"modality": None}, lambda m, d: False),
    ]:
        assert snapshot.row_filter.mask(where).tolist() == [bool(passes(m, d)) for m, d in values], where
    for condition in ("2020-13-01", "soon", 5, float("nan"), {"min": float("inf")}, [[]], {}, [5], [True], ["soon"]):
        with pytest.raises(InputError, match="year"):
            snapshot.row_filter.mask({"year": condition})


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (pa.array([1, 2, None, 5], pa.int64()), [5, 5.0, 5.5, float("nan"), float("inf"), None]),
        (pa.array([0.0, -0.0, 1.5, float("nan"), None]), [0, float("nan"), 1.5]),
        (pa.array([True, False, None]), [True]),
        (pa.array(["a", "b", None]), ["b", "c", None]),
        (pa.array([None, None]), ["x", 5]),
        (pa.array([7, 8], pa.uint8()), [8, 7.5]),
    ],
)
def test_a_list_of_values_means_equal_to_one_of_them(values, wanted):
    plain = [value is not None and any(value == one for one in wanted) for value in values.to_pylist()]
    assert _passing("c", values, _test("c", wanted)).tolist() == plain


def test_a_slow_mask_keeps_nobody_waiting_who_asks_for_another():
    cache, slow, begun = MaskCache(), threading.Event(), threading.Event()
    computed = []

    def compute():
        computed.append(1)
        begun.set()
        slow.wait(60)
        return np.ones(8, bool)

    threads = [threading.Thread(target=cache.get, args=(("slow",), compute)) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert begun.wait(60)
    assert cache.get(("other",), lambda: np.zeros(8, bool)).sum() == 0  # would wait for ever
    slow.set()
    for thread in threads:
        thread.join()
    assert (len(computed), cache.making) == (1, {})


def test_a_mask_that_cannot_be_made_is_tried_again():
    cache = MaskCache()
    with pytest.raises(ZeroDivisionError):
        cache.get(("a",), lambda: np.ones(1 // 0, bool))
    assert cache.get(("a",), lambda: np.ones(2, bool)).all()
    assert cache.making == {}


def test_the_budget_of_masks_counts_keys_and_their_number(tmp_path):
    cache = MaskCache(max_bytes=2**20)
    for turn in range(200):
        cache.get((f"{turn}" * 2**16,), lambda: np.ones(8, bool))
    assert sum(len(part) for key in cache.masks for part in key) + 8 * len(cache.masks) <= 2**20
    assert cache.bytes == sum(len(key[0]) + 8 for key in cache.masks)
    publish_rows(f"file://{tmp_path}/a", rows(NAMES))
    row_filter = open_snapshot(f"file://{tmp_path}/a", cache=str(tmp_path / "cache")).row_filter
    for turn in range(20):
        row_filter.mask({"modality": [f"{turn}" * 2**18]})
    assert sum(len(part) for key in row_filter.cache.masks for part in key) < 20 * 100
    small = MaskCache()
    for turn in range(MOST_MASKS + 100):
        small.get((str(turn),), lambda: np.ones(1, bool))
    assert len(small.masks) == MOST_MASKS
