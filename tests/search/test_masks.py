"""`where` admits the rows that a plain loop admits; masks used recently are kept, within bounds."""

import numpy as np
import pyarrow as pa
import pytest
from support.snapshot_rows import publish_rows, rows

from mcmfh.errors import InputError
from mcmfh.search.masks import MaskCache
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
        ({"modality": None}, lambda m, d: False),
    ]:
        assert snapshot.row_filter.mask(where).tolist() == [bool(passes(m, d)) for m, d in values], where
    for condition in ("2020-13-01", "soon", 5, float("nan"), {"min": float("inf")}, [[]], {}):
        with pytest.raises(InputError, match="year"):
            snapshot.row_filter.mask({"year": condition})
