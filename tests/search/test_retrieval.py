"""What a hit tells beside its distance, and what a snapshot can be filtered by."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcmfh.archive.images import DecodeError, Limits
from mcmfh.errors import InputError
from mcmfh.search.precision import estimated_precision
from mcmfh.search.query import validated
from mcmfh.search.retrieval import Retrieval


@pytest.fixture
def retrieval(archive):
    return Retrieval(archive, Limits())


def test_precision_is_the_calibration_of_query_and_target(retrieval):
    table = retrieval.bundle.calibration["16"]
    for modality in ("image", "report"):
        for target in ("image", "report", "study"):
            answer = retrieval.answer(validated({"code": "0305", "modality": modality, "target": target, "k": 30}))
            assert answer["precision_of"] == table["meaning"]
            assert answer["hits"]
            for hit in answer["hits"]:
                assert hit["precision"] == table[f"{modality}-{target}"]["probability"][hit["distance"]]


def test_a_query_of_both_has_the_figure_of_its_sum(retrieval):
    meaning, precision = estimated_precision(retrieval.bundle.calibration, 16, ("image", "report"), "study")
    table = retrieval.bundle.calibration["16"]
    assert meaning == table["meaning"]
    assert [precision(distance) for distance in range(34)] == [*table["both-study"]["probability"], None]


def test_no_figure_where_none_was_measured():
    assert estimated_precision({}, 16, ("image",), "report")[0] is None


@given(st.integers(0, 1024))
def test_any_distance_has_a_figure_or_none(distance):
    calibration = {"8": {"meaning": "same study", "report-image": {"probability": [0.5] * 9}}}
    meaning, precision = estimated_precision(calibration, 8, ("report",), "image")
    assert meaning == "same study"
    assert precision(distance) == (0.5 if distance <= 8 else None)


def test_filters_are_offered_with_their_values(retrieval):
    snapshot = retrieval.snapshot.snapshot
    items = snapshot.shown(range(len(snapshot.items)))
    assert retrieval.version["filters"] == {
        "modality": {"type": "string", "values": sorted({item["modality"] for item in items} - {None})},
        "year": {"type": "int64", "values": sorted({item["year"] for item in items})},
    }


def test_a_code_of_another_length_is_refused(retrieval):
    with pytest.raises(InputError, match="8 bits"):
        retrieval.answer(validated({"code": "00", "modality": "image"}))
    with pytest.raises(InputError, match="no 32-bit codes"):
        retrieval.answer(validated({"code": "00000000", "modality": "image", "bits": 32}))


def test_logits_handed_over_give_the_same_answer(retrieval):
    query = validated({"report": "Fracture of the distal radius."})
    logits = retrieval.query_logits(query)
    assert logits["report"][16].dtype == np.float32
    assert retrieval.answer(query, logits) == retrieval.answer(query)


def test_re_ranking_orders_the_shortlist_by_the_logits(retrieval):
    query = validated({"report": "Fracture of the distal radius.", "rerank": 16, "k": 7})
    answer = retrieval.answer(query)
    everything = retrieval.answer(validated({"report": query.report, "k": 60}))["hits"]
    logits = retrieval.query_logits(query)["report"][16]
    scores = []
    for hit in everything:
        code = retrieval.snapshot.snapshot.code(retrieval.snapshot.snapshot.row(hit["item_id"]), "image.16")
        bits = np.unpackbits(np.frombuffer(code, np.uint8), bitorder="little")
        scores.append((-float(np.where(bits, logits, -logits).sum()), hit["item_id"], hit["distance"]))
    best = sorted(scores, key=lambda one: one[0])[:7]  # a stable sort: ties stay in the order of their distance
    found = [(hit["item_id"], hit["distance"]) for hit in answer["hits"]]
    assert [hit["score"] for hit in answer["hits"]] == pytest.approx([-score for score, _, _ in best], abs=1e-5)
    assert sorted(found) == sorted((name, distance) for _, name, distance in best)
    for refused in (
        {"code": "0305", "modality": "image"},
        {"report": "x", "target": "study"},
        {"report": "x", "rerank": 64},
        {"report": "x", "image": b"y"},
    ):
        with pytest.raises(InputError):
            retrieval.answer(validated({"rerank": 16, **refused}))


def test_a_focus_re_ranks_by_the_query_and_the_phrase(retrieval):
    """Among all items, the score of a hit is the cosine-like sum over the signs of both, worked out bit by bit."""
    query = validated({"report": "Fracture of the distal radius.", "focus": "heart", "k": 7})
    answer = retrieval.answer(query)
    logits = {name: of_k[16] for name, of_k in retrieval.query_logits(query).items()}
    assert sorted(logits) == ["focus", "report"]
    phrase = retrieval.query_logits(validated({"report": "heart"}))["report"][16]
    np.testing.assert_allclose(logits["focus"], phrase, atol=1e-5)
    both = sum(each / np.linalg.norm(each) for each in logits.values())
    scores = []
    for hit in retrieval.answer(validated({"report": query.report, "k": 60}))["hits"]:
        code = retrieval.snapshot.snapshot.code(retrieval.snapshot.snapshot.row(hit["item_id"]), "image.16")
        bits = np.unpackbits(np.frombuffer(code, np.uint8), bitorder="little")
        scores.append(float(np.where(bits, both, -both).sum()))
    assert [hit["score"] for hit in answer["hits"]] == pytest.approx(sorted(scores, reverse=True)[:7], abs=1e-5)
    assert answer["receipt"]["rerank"] == 16
    assert sorted(answer["receipt"]["logits"]) == ["focus", "report"]
    assert sorted(answer["code"]) == ["report"]


def test_a_focus_needs_logits_and_items(retrieval):
    for refused, message in (
        ({"code": "0305", "modality": "image"}, "no logits"),
        ({"report": "x", "target": "study"}, "not re-ranked"),
        ({"report": "x", "image": b"y"}, "not re-ranked"),
    ):
        with pytest.raises(InputError, match=message):
            validated({"focus": "heart", **refused})
    with pytest.raises(DecodeError):
        validated({"report": "x", "focus": "   "})
