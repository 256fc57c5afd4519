"""A query is valid as a whole, or is refused with one sentence."""

import pytest
from pydantic import ValidationError

from mcmfh.archive.limits import DecodeError
from mcmfh.archive.loading import load_item
from mcmfh.errors import InputError
from mcmfh.search.query import Query, validated


def test_default_target_is_the_other_modality():
    assert validated({"report": "x"}).wanted == "image"
    assert validated({"image": b"x"}).wanted == "report"
    assert validated({"image": b"x", "report": "x"}).wanted == "study"
    assert validated({"code": "00ff", "modality": "image"}).wanted == "report"


@pytest.mark.parametrize(
    ("fields", "culprit"),
    [
        ({"k": 0, "report": "x"}, "k"),
        ({"report": "x", "target": "patient"}, "target"),
        ({"report": "x", "secret": 1}, "secret"),
        ({"code": "0", "modality": "image"}, "code"),
        ({"report": "x", "where": [1]}, "where"),
        ([], "request"),
    ],
)
def test_bad_fields_are_named(fields, culprit):
    with pytest.raises(InputError, match=culprit):
        validated(fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "the query is empty; send an image, a report or a code"),
        ({"report": "", "k": 3}, "the query is empty; send an image, a report or a code"),
        ({"code": "00ff"}, "a code needs modality 'image' or 'report', and neither an image nor a report beside it"),
        (
            {"code": "00ff", "modality": "image", "report": "x"},
            "a code needs modality 'image' or 'report', and neither",
        ),
        ({"code": "00ff", "modality": "image", "rerank": 32}, "a code has no logits to re-rank by; send the image"),
        ({"report": "x", "target": "study", "rerank": 32}, "studies are not re-ranked; ask for reports or images"),
    ],
)
def test_a_query_must_say_what_it_looks_for(fields, message):
    """`Query` refuses contradictory fields itself; `validated` passes its sentence on as it is."""
    with pytest.raises(InputError) as refusal:
        validated(fields)
    assert str(refusal.value).startswith(message)
    with pytest.raises(ValidationError):
        Query(**fields)


def test_a_query_names_its_modalities():
    assert validated({"report": "x"}).modalities == ("report",)
    assert validated({"report": "x", "image": b"x"}).modalities == ("image", "report")
    assert validated({"report": "", "image": b"x"}).modalities == ("image",)
    assert validated({"code": "00ff", "modality": "report"}).modalities == ("report",)


NOTHING = [" ", "\t\n", "\0", "\0\0", "\u200b\u200d", "\ufeff", "?!.", "—", "___", "\u3164", "\u2800\u00ad", "( ) [ ]"]


@pytest.mark.parametrize("report", NOTHING)
def test_a_report_without_content_is_no_query_and_no_item(report):
    for image in ({}, {"image": b"x"}):
        with pytest.raises(DecodeError, match="empty report"):
            validated({"report": report, **image})
    assert load_item({"report": report}).reason == "empty report"


@pytest.mark.parametrize(
    "report",
    [
        "No\x0bnodule.",
        "No\x85nodule.",
        "No\x9b \x1f nodule.\ufeff",
        "  No\r\n\tnodule. ",
        "Kardiomegalie bei Linksherzhypertrophie, Pleuraergu\u00df, A\u0308rosol",
        "<p>No <b>nodule</b>.</p>",
        '{"resourceType": "DiagnosticReport", "status": "final", "conclusion": "No nodule."}',
    ],
)
def test_a_report_is_the_same_text_as_query_and_as_item(report):
    assert validated({"report": report}).report == load_item({"report": report}).report


@pytest.mark.parametrize("report", ["x" * 300, "a,b,c,d\n1,2,3,4\n5,6,7,8\n9,1,2,3", "1 2 3 " * 20])
def test_a_query_may_be_other_than_prose(report):
    assert validated({"report": report}).report == " ".join(report.split())


@pytest.mark.parametrize(
    "where",
    [
        {"year": list(range(1001))},
        {"year": {"min": list(range(2000))}},
        {f"c{n}": 1 for n in range(33)},
        {"year": [[[[n]] for n in range(1001)]]},
        {"modality": "x" * 1001},
        {"modality": ["CT", "x" * 1001]},
        {"x" * 1001: 1},
        {"year": {"x" * 1001: 1}},
    ],
)
def test_conditions_are_bounded(where):
    with pytest.raises(InputError, match=r"^where "):
        validated({"report": "x", "where": where})


def test_a_thousand_values_are_allowed():
    assert validated({"report": "x", "where": {"year": list(range(1000))}})


def test_deep_conditions_are_no_fault_of_the_program():
    deep = 5
    for _ in range(900):
        deep = [deep]
    assert validated({"report": "x", "where": {"year": deep}})


def test_one_unknown_field_is_named_however_many_there_are():
    with pytest.raises(InputError, match="f0: no such field"):
        validated({f"f{n}": n for n in range(100_000)})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), "\ud800", "a\udfffb"])
def test_what_no_receipt_could_say_is_refused(value):
    for where in ({"year": value}, {"year": {"min": value}}, {"modality": ["CT", value]}):
        with pytest.raises(InputError, match="NaN, an infinite number or half a character"):
            validated({"code": "0305", "modality": "image", "where": where})
