"""An archive in parts answers as the whole does, whatever their number; each answer is of the snapshot it names."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.snapshot_rows import publish_rows, rows

from mcmfh.archive.images import Limits
from mcmfh.errors import InputError
from mcmfh.search.query import validated
from mcmfh.search.retrieval import Retrieval
from mcmfh.search.sharding import ShardedSource, SnapshotPart
from mcmfh.search.view import View

NAMES = [f"i{n}" for n in range(1, 160)]
CODES = st.binary(min_size=2, max_size=2).map(lambda code: bytes(b & 15 for b in code).hex())
QUERIES = st.fixed_dictionaries(
    {
        "k": st.integers(1, 200),
        "target": st.sampled_from(["image", "report", "study"]),
        "max_distance": st.none() | st.integers(0, 8),
        "where": st.sampled_from([{}, {"modality": "CT"}, {"year": {"min": 2004}, "modality": ["MR", "CT"]}]),
        "histogram": st.booleans(),
        "rerank": st.sampled_from([None, None, 16]),
    }
)


def logits_of(code: str) -> np.ndarray:
    """float32[16] whose signs are `code`, of sizes that differ."""
    signs = 2.0 * np.unpackbits(np.frombuffer(bytes.fromhex(code), np.uint8), bitorder="little") - 1
    return (signs * np.arange(1, 17)).astype(np.float32)


@pytest.fixture(scope="module")
def root(tmp_path_factory, models) -> str:
    """Seven publications, so seven shards of different sizes, with superseded and removed rows."""
    root = f"file://{tmp_path_factory.mktemp('archive')}/archives/a"
    for turn, (first, last) in enumerate([(0, 40), (30, 60), (60, 65), (50, 90), (90, 120), (120, 121), (115, 159)]):
        publish_rows(root, rows(NAMES[first:last], turn, str(turn)), NAMES[5:last], NAMES[:first], models[0])
    return root


def spread(root: str, parts: int, number: int | None = None) -> ShardedSource:
    """Parts in this process, which is all that Ray is to them."""
    held = [SnapshotPart(root, part, parts) for part in range(parts)]
    return ShardedSource(root, number, parts, lambda number, calls: [held[p].call(number, m, a) for p, m, a in calls])


@pytest.fixture(scope="module")
def retrievals(root, tmp_path_factory) -> list[Retrieval]:
    """The whole, then 1, 2 and 5 parts, and more parts than shards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MCMFH_CACHE", str(tmp_path_factory.mktemp("cache")))
        whole = Retrieval(root, Limits())
        return [whole] + [
            Retrieval(
                root,
                Limits(),
                bundles=[whole.bundle],
                open_source=lambda root, number, parts=parts: spread(root, parts),
            )
            for parts in (1, 2, 5, 9)
        ]


@given(query=QUERIES, image=CODES, report=st.none() | CODES)
@settings(max_examples=120, deadline=None)
def test_answers_do_not_depend_on_the_number_of_parts(retrievals, query, image, report):
    given = {"image": image, **({"report": report} if report else {})}
    logits = {modality: {16: logits_of(code)} for modality, code in given.items()}
    if query["target"] == "study":
        del query["rerank"]
    asked = validated({**query, **dict.fromkeys(given, "there")})
    expected, *others = (json.dumps(retrieval.answer(asked, logits)) for retrieval in retrievals)
    assert others == [expected] * len(others)


def test_items_and_filters_do_not_either(retrievals):
    whole, *others = retrievals
    assert whole.version["items"] < whole.snapshot.document.rows
    for other in others:
        assert other.version == whole.version
        for name in (*NAMES[::9], "", "nobody", "\ud800"):
            assert other.item(name) == whole.item(name)


def test_nor_does_what_a_scope_leaves(retrievals):
    whole, *others = retrievals
    view = View({"modality": "CT", "year": {"min": 2005}})
    assert 0 < whole.count(view) < whole.version["items"]
    assert whole.version_of(view)["items"] == whole.count(view)
    assert whole.version_of(view)["filters"]["modality"]["values"] == ["CT"]
    for other in others:
        assert other.version_of(view) == whole.version_of(view)
        for name in (*NAMES[::9], "", "nobody", "\ud800"):
            item = whole.item(name)
            inside = item is not None and item["where"]["modality"] == "CT" and item["where"]["year"] >= 2005
            assert other.item(name, view) == whole.item(name, view) == (item if inside else None)
        with pytest.raises(InputError, match="ward"):
            other.count(View({"ward": "x"}))


def test_two_snapshots_are_kept_and_an_older_one_is_opened_again(root, retrievals):
    part = SnapshotPart(root, 0, 1)
    for number in (5, 6, 7, 5):
        assert part.call(number, "item", ("i20",))["item_id"] == "i20"
    assert sorted(part.sources) == [5, 7]


def test_the_question_names_its_snapshot(root):
    held = [SnapshotPart(root, part, 2) for part in range(2)]
    both = [
        ShardedSource(root, number, 2, lambda number, calls: [held[p].call(number, m, a) for p, m, a in calls])
        for number in (3, 7)
    ]
    assert [source.item("i140") is None for source in both] == [True, False]
    assert [source.item("i65")["fingerprint"] for source in both] == ["i65-2", "i65-3"]


def test_a_part_opens_a_changed_file_anew(root, tmp_path, monkeypatch):
    monkeypatch.setenv("MCMFH_CACHE", str(tmp_path))
    part = SnapshotPart(root, 0, 2)
    number = 7
    item = part.call(number, "item", ("i150",)) or part.call(number, "item", ("i10",))
    assert part.sweep() == []
    for path in tmp_path.glob("shards/*.shown.arrow"):
        path.write_bytes(path.read_bytes().replace(b"report of i", b"report by i"))
    assert part.sweep()
    assert part.call(number, "item", (item["item_id"],)) == item
    assert part.sweep() == []
