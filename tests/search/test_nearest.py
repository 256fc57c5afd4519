"""Search in a snapshot equals a plain loop over all items, ties included."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.snapshot_rows import publish_rows, rows

from mcmfh.errors import InputError
from mcmfh.search.nearest import distance_histogram, nearest_hits
from mcmfh.search.opening import open_snapshot

NAMES = [f"i{n}" for n in range(1, 140)]


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory):
    """Three publications: so there are several shards, superseded and removed rows."""
    folder = tmp_path_factory.mktemp("archive")
    root = f"file://{folder}/a"
    publish_rows(root, rows(NAMES[:90]))
    publish_rows(root, rows(NAMES[60:120], seed=1, version="2"), known=NAMES[:90], listed=NAMES[10:])
    publish_rows(root, rows(NAMES[120:], seed=2), known=NAMES[10:120], listed=NAMES)
    return open_snapshot(root, cache=str(folder / "cache"))


def every_item(snapshot):
    """(row, modality → code as an int, study, filters), read from the published columns alone."""
    by_name = {}
    for table in (rows(NAMES[:90]), rows(NAMES[60:120], seed=1, version="2"), rows(NAMES[120:], seed=2)):
        by_name.update({item["item_id"]: item for item in table.to_pylist()})
    return [(snapshot.row(name), by_name[name]) for name in NAMES if snapshot.row(name) is not None]


def distance(code: bytes, query: np.ndarray) -> int:
    return int(np.bitwise_count(np.frombuffer(code, np.uint8) ^ query).sum())


def brute_force(snapshot, query, k, target, passes=lambda item: True):
    found = []
    for row, item in every_item(snapshot):
        if not passes(item):
            continue
        for modality in ("image", "report") if target == "study" else (target,):
            if (code := item[f"{modality}.16"]) is not None:
                found.append((sum(distance(code, q) for q in query.values()), row, item["study_id"]))
    found.sort()
    if target == "study":
        best: dict[str, tuple] = {}
        for hit in found:
            best.setdefault(hit[2], hit)
        found = list(best.values())
    return [(row, d) for d, row, _ in found[:k]]


codes = st.binary(min_size=2, max_size=2).map(lambda b: np.frombuffer(b, np.uint8) & 15)
queries = st.one_of(
    st.fixed_dictionaries({"image": codes}),
    st.fixed_dictionaries({"report": codes}),
    st.fixed_dictionaries({"image": codes, "report": codes}),
)


@given(
    query=queries,
    k=st.integers(1, 200),
    target=st.sampled_from(["image", "report", "study"]),
    filtered=st.booleans(),
    radius=st.none() | st.integers(0, 6),
)
@settings(max_examples=80, deadline=None)
def test_search_equals_brute_force(snapshot, query, k, target, filtered, radius):
    where = {"modality": ["CT", "MR"], "year": {"min": 2003, "max": 2012}} if filtered else None

    def passes(item):
        return not filtered or (item["modality"] in ("CT", "MR") and 2003 <= item["year"] <= 2012)

    hits = nearest_hits(snapshot, query, k, target, 16, radius, where)
    expected = [(row, d) for row, d in brute_force(snapshot, query, k, target, passes) if radius is None or d <= radius]
    assert list(zip(hits.rows.tolist(), hits.distances.tolist())) == expected
    if target != "study":
        counts = np.bincount([d for _, d in brute_force(snapshot, query, 10**9, target, passes)])
        found = distance_histogram(snapshot, query, target, 16, where)
        assert found[: len(counts)].tolist() == counts.tolist()
        assert found.sum() == counts.sum()


def test_every_live_name_is_found_and_no_other(snapshot):
    for row, item in every_item(snapshot):
        assert snapshot.items.value("item_id", row) == item["item_id"]
        assert snapshot.shown([row])[0]["report"] == f"report of {item['item_id']}"
    for name in ("", "zz", "i0", "i1000", "\ud800", "i1\0"):
        assert snapshot.row(name) is None


def test_removed_items_are_gone_and_changed_ones_are_new(snapshot):
    assert snapshot.row("i5") is None
    assert snapshot.document.items == len(every_item(snapshot)) == 129
    row = snapshot.row("i70")
    assert snapshot.shown([row])[0]["report"] == "report of i70"


def test_max_distance_cuts_the_answer(snapshot):
    query = {"image": np.zeros(2, np.uint8)}
    near = nearest_hits(snapshot, query, 100, "report", 16, max_distance=2)
    assert (near.distances <= 2).all()
    assert len(near.rows) == sum(d <= 2 for _, d in brute_force(snapshot, query, 100, "report"))


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [
        ({"k": 0}, "k cannot be 0"),
        ({"target": "patient"}, "patient"),
        ({"bits": 32}, "32-bit"),
        ({"where": {"secret": 1}}, "'secret' is not a filter"),
        ({"where": {"year": {"above": 1}}}, "year"),
        ({"where": {"year": "soon"}}, "does not fit"),
        ({"where": {"year": {"min": 1, "max": [2]}}}, "does not fit"),
    ],
)
def test_bad_questions_are_answered_with_the_culprit(snapshot, arguments, culprit):
    asked = {"k": 3, "target": "image", "bits": 16, **arguments}
    with pytest.raises(InputError, match=culprit):
        nearest_hits(snapshot, {"image": np.zeros(2, np.uint8)}, **asked)
